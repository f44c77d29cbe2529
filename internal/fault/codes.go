package fault

// The faults of statements, subscriptions and the server.
const (
	Syntax            Code = "SYNTAX"             // the text does not parse
	InvalidDefinition Code = "INVALID_DEFINITION" // unknown option, bad type, bad or reserved name
	NotImplemented    Code = "NOT_IMPLEMENTED"    // known, but not there yet
	TableNotFound     Code = "TABLE_NOT_FOUND"
	NamespaceNotFound Code = "NAMESPACE_NOT_FOUND"
	ColumnNotFound    Code = "COLUMN_NOT_FOUND"
	FunctionNotFound  Code = "FUNCTION_NOT_FOUND"
	ObjectNotFound    Code = "OBJECT_NOT_FOUND" // user, storage, job, index, topic
	AlreadyExists     Code = "ALREADY_EXISTS"
	DuplicateKey      Code = "DUPLICATE_KEY"    // a primary key
	UniqueViolation   Code = "UNIQUE_VIOLATION" // of a unique index
	NotNull           Code = "NOT_NULL"
	GeneratedAlways   Code = "GENERATED_ALWAYS" // a value for a column that takes none
	CheckFailed       Code = "CHECK_FAILED"
	TypeMismatch      Code = "TYPE_MISMATCH"
	InvalidValue      Code = "INVALID_VALUE"
	OutOfRange        Code = "OUT_OF_RANGE" // overflow, NaN
	DivisionByZero    Code = "DIVISION_BY_ZERO"
	InvalidOperation  Code = "INVALID_OPERATION" // system column, key change, STREAM update, no WHERE
	PermissionDenied  Code = "PERMISSION_DENIED"
	Conflict          Code = "CONFLICT"       // may be sent again
	LimitExceeded     Code = "LIMIT_EXCEEDED" // rows, bytes, depth, parameters
	Timeout           Code = "TIMEOUT"
	Cancelled         Code = "CANCELLED"
	ServerBusy        Code = "SERVER_BUSY"
	DiskFull          Code = "DISK_FULL"
	ReadOnly          Code = "READ_ONLY"
	ShuttingDown      Code = "SHUTTING_DOWN"
	CursorExpired     Code = "CURSOR_EXPIRED"
	ActiveTransaction Code = "ACTIVE_TRANSACTION"    // not inside a transaction
	NoTransaction     Code = "NO_TRANSACTION"        // only inside a transaction
	FailedTransaction Code = "FAILED_TRANSACTION"    // nothing but its end is taken
	OpenTransaction   Code = "TRANSACTION_LEFT_OPEN" // a request ended inside one
	SavepointNotFound Code = "SAVEPOINT_NOT_FOUND"
	Internal          Code = "INTERNAL"
)

// The faults of a request itself, named as on the wire.
const (
	EmptySQL             Code = "EMPTY_SQL"
	InvalidInput         Code = "INVALID_INPUT"
	InvalidParameter     Code = "INVALID_PARAMETER"
	BatchParseError      Code = "BATCH_PARSE_ERROR"
	ParamsWithBatch      Code = "PARAMS_WITH_BATCH"
	RateLimitExceeded    Code = "RATE_LIMIT_EXCEEDED"
	SubscriptionLimit    Code = "SUBSCRIPTION_LIMIT_EXCEEDED"
	MissingAuthorization Code = "MISSING_AUTHORIZATION"
	TokenExpired         Code = "TOKEN_EXPIRED"
	InvalidCredentials   Code = "INVALID_CREDENTIALS"
	SetupRequired        Code = "SETUP_REQUIRED"
	AccountLocked        Code = "ACCOUNT_LOCKED"
	WeakPassword         Code = "WEAK_PASSWORD"
	FileTooLarge         Code = "FILE_TOO_LARGE"
	TooManyFiles         Code = "TOO_MANY_FILES"
	MissingFile          Code = "MISSING_FILE"
	ExtraFile            Code = "EXTRA_FILE"
	InvalidMIMEType      Code = "INVALID_MIME_TYPE"
	FileNotFound         Code = "FILE_NOT_FOUND"
)

// Info is what every door needs to know of a code.
type Info struct {
	// Prefix begins the sentence.
	Prefix string
	// Shown says whether callers below dba may read the sentence.
	Shown bool
	// SQLState is the five-character code of the SQL standard.
	SQLState string
}

// infos is never written after the program has started.
var infos = map[Code]Info{
	Syntax:            {"Invalid SQL: ", true, "42601"},
	InvalidDefinition: {"Invalid SQL: ", true, "42P16"},
	NotImplemented:    {"Not implemented: ", true, "0A000"},
	TableNotFound:     {"Table not found: ", false, "42P01"},
	NamespaceNotFound: {"", true, "3F000"},
	ColumnNotFound:    {"Not found: ", true, "42703"},
	FunctionNotFound:  {"Not found: ", true, "42883"},
	ObjectNotFound:    {"Not found: ", true, "42704"},
	AlreadyExists:     {"Already exists: ", true, "42710"},
	DuplicateKey:      {"Primary key violation: ", true, "23505"},
	UniqueViolation:   {"", true, "23505"},
	GeneratedAlways:   {"Invalid operation: ", true, "428C9"},
	NotNull:           {"NOT NULL constraint violation: ", true, "23502"},
	CheckFailed:       {"Constraint violation: ", true, "23514"},
	TypeMismatch:      {"Execution error: ", true, "42804"},
	InvalidValue:      {"Execution error: ", true, "22P02"},
	OutOfRange:        {"Execution error: ", true, "22003"},
	DivisionByZero:    {"Execution error: ", true, "22012"},
	InvalidOperation:  {"Invalid operation: ", true, "55000"},
	PermissionDenied:  {"Permission denied: ", true, "42501"},
	Conflict:          {"Conflict: ", true, "40001"},
	LimitExceeded:     {"", true, "54000"},
	Timeout:           {"", true, "57014"},
	Cancelled:         {"Cancelled: ", true, "57014"},
	ServerBusy:        {"", true, "53300"},
	DiskFull:          {"", true, "53100"},
	ReadOnly:          {"", true, "25006"},
	ShuttingDown:      {"", true, "57P01"},
	CursorExpired:     {"", true, "55000"},
	ActiveTransaction: {"Invalid operation: ", true, "25001"},
	NoTransaction:     {"Invalid operation: ", true, "25P01"},
	FailedTransaction: {"Invalid operation: ", true, "25P02"},
	OpenTransaction:   {"", false, "25000"},
	SavepointNotFound: {"Not found: ", true, "3B001"},
	Internal:          {"", false, "XX000"},

	EmptySQL:             {"", true, "42601"},
	InvalidInput:         {"", true, "22023"},
	InvalidParameter:     {"", true, "22023"},
	BatchParseError:      {"", false, "42601"},
	ParamsWithBatch:      {"", true, "42601"},
	RateLimitExceeded:    {"", true, "53300"},
	SubscriptionLimit:    {"", true, "53300"},
	MissingAuthorization: {"", true, "28000"},
	TokenExpired:         {"", true, "28000"},
	InvalidCredentials:   {"", true, "28000"},
	SetupRequired:        {"", true, "28000"},
	AccountLocked:        {"", true, "28000"},
	WeakPassword:         {"", true, "28P01"},
	FileTooLarge:         {"", true, "54000"},
	TooManyFiles:         {"", true, "54000"},
	MissingFile:          {"", true, "22023"},
	ExtraFile:            {"", true, "22023"},
	InvalidMIMEType:      {"", true, "22023"},
	FileNotFound:         {"", true, "42704"},
}

// Info returns the facts of a code; an unknown code is treated as Internal.
func (c Code) Info() Info {
	if i, ok := infos[c]; ok {
		return i
	}
	return infos[Internal]
}

// Codes returns every known code, in no order.
func Codes() []Code {
	all := make([]Code, 0, len(infos))
	for c := range infos {
		all = append(all, c)
	}
	return all
}

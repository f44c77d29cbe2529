package schema

// AuditEntry is one row of system.audit_log: who did what to whom. Details hold
// no password, token or credential.
type AuditEntry struct {
	// Number counts entries from 1; it is given when the entry is applied.
	Number uint64 `json:"number"`
	// Time is microseconds since the Unix epoch.
	Time int64 `json:"time"`
	// Actor is who authenticated, Subject the account that is acted on or
	// through, if another one.
	Actor   UserID `json:"actor"`
	Subject UserID `json:"subject,omitempty"`
	// Action is one word such as CREATE_TABLE.
	Action  string `json:"action"`
	Target  string `json:"target"`
	Details string `json:"details,omitempty"`
	IP      string `json:"ip,omitempty"`
}

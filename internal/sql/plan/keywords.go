package plan

import (
	"cmp"
	"slices"
	"strings"

	"kalamdb/internal/datum"
)

// keywordClass is a group of PostgreSQL's words that are treated alike. A name
// that is one of them may need quotes there; what is a name here is told by
// reserved.
type keywordClass struct {
	code, description string
	bare              bool // may be a label without AS
	words             string
}

// keywordClasses are the words of PostgreSQL 15.
var keywordClasses = [...]keywordClass{
	{"C", "unreserved (cannot be function or type name)", true, `between bigint bit boolean coalesce dec decimal exists extract float greatest grouping inout int integer interval least national nchar none normalize
nullif numeric out overlay position real row setof smallint substring time timestamp treat trim values varchar xmlattributes xmlconcat xmlelement
xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable`},
	{"C", "unreserved (cannot be function or type name)", false, `char character precision`},
	{"R", "reserved", true, `all analyse analyze and any asc asymmetric both case cast check collate column constraint current_catalog current_date current_role current_time
current_timestamp current_user default deferrable desc distinct do else end false foreign in initially lateral leading localtime localtimestamp not
null only or placing primary references select session_user some symmetric table then trailing true unique user using variadic when`},
	{"R", "reserved", false, `array as create except fetch for from grant group having intersect into limit offset on order returning to union where window with`},
	{"T", "reserved (can be function or type name)", true, `authorization binary collation concurrently cross current_schema freeze full ilike inner is join left like natural outer right similar tablesample
verbose`},
	{"T", "reserved (can be function or type name)", false, `isnull notnull overlaps`},
	{"U", "unreserved", true, `abort absolute access action add admin after aggregate also alter always asensitive assertion assignment at atomic attach attribute backward before
begin breadth by cache call called cascade cascaded catalog chain characteristics checkpoint class close cluster columns comment comments commit
committed compression configuration conflict connection constraints content continue conversion copy cost csv cube current cursor cycle data database
deallocate declare defaults deferred definer delete delimiter delimiters depends depth detach dictionary disable discard document domain double drop
each enable encoding encrypted enum escape event exclude excluding exclusive execute explain expression extension external family finalize first
following force forward function functions generated global granted groups handler header hold identity if immediate immutable implicit import
include including increment index indexes inherit inherits inline input insensitive insert instead invoker isolation key label language large last
leakproof level listen load local location lock locked logged mapping match matched materialized maxvalue merge method minvalue mode move name names
new next nfc nfd nfkc nfkd no normalized nothing notify nowait nulls object of off oids old operator option options ordinality others overriding
owned owner parallel parameter parser partial partition passing password plans policy preceding prepare prepared preserve prior privileges procedural
procedure procedures program publication quote range read reassign recheck recursive ref referencing refresh reindex relative release rename
repeatable replace replica reset restart restrict return returns revoke role rollback rollup routine routines rows rule savepoint schema schemas
scroll search security sequence sequences serializable server session set sets share show simple skip snapshot sql stable standalone start statement
statistics stdin stdout storage stored strict strip subscription support sysid system tables tablespace temp template temporary text ties transaction
transform trigger truncate trusted type types uescape unbounded uncommitted unencrypted unknown unlisten unlogged until update vacuum valid validate
validator value version view views volatile whitespace work wrapper write xml yes zone`},
	{"U", "unreserved", false, `day filter hour minute month over second varying within without year`},
}

// keywordFunction is pg_get_keywords().
func keywordFunction() TableFunction {
	texts := func(words ...string) []value {
		row := make([]value, len(words))
		for i, w := range words {
			row[i] = datum.NewText(w)
		}
		return row
	}
	columns := []RelColumn{{"word", textType}, {"catcode", textType}, {"barelabel", boolType}, {"catdesc", textType}, {"baredesc", textType}}
	return TableFunction{Name: "pg_get_keywords", Doc: "The words of PostgreSQL's grammar and how far they are names.", call: Function{shows: "word TEXT, catcode TEXT, barelabel BOOLEAN, catdesc TEXT, baredesc TEXT"},
		columns: func([]Expr) []RelColumn { return columns }, named: true,
		rows: func([]value) (Next, error) {
			var rows [][]value
			for _, c := range keywordClasses {
				bare := "requires AS"
				if c.bare {
					bare = "can be bare label"
				}
				for word := range strings.FieldsSeq(c.words) {
					row := texts(word, c.code, "", c.description, bare)
					row[2] = datum.NewBool(c.bare)
					rows = append(rows, row)
				}
			}
			slices.SortFunc(rows, func(a, b []value) int { return cmp.Compare(a[0].Text(), b[0].Text()) })
			return func() ([]value, error) {
				if len(rows) == 0 {
					return nil, nil
				}
				row := rows[0]
				rows = rows[1:]
				return row, nil
			}, nil
		}}
}

package parse

// keyword is what Normalize must know of a word; 0 is every other word.
type keyword uint8

const (
	kwOther keyword = iota + 1
	kwSelect
	kwInsert
	kwUpdate
	kwDelete
	kwWith
	kwTable
	kwFile
	kwExtract
	kwAs
	kwValues
	kwSet
	kwWhere
	kwLimit
	kwOffset
	kwStop    // begins a clause without parameters
	kwOperand // an operand follows
)

// keywordOf classifies a word without allocating.
func keywordOf(word string) keyword {
	var upper [10]byte
	if len(word) < 2 || len(word) > len(upper) {
		return 0
	}
	for i := range len(word) {
		c := word[i]
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		upper[i] = c
	}
	switch string(upper[:len(word)]) {
	case "SELECT":
		return kwSelect
	case "INSERT":
		return kwInsert
	case "UPDATE":
		return kwUpdate
	case "DELETE":
		return kwDelete
	case "WITH":
		return kwWith
	case "TABLE":
		return kwTable
	case "FILE":
		return kwFile
	case "EXTRACT":
		return kwExtract
	case "AS":
		return kwAs
	case "VALUES":
		return kwValues
	case "SET":
		return kwSet
	case "WHERE":
		return kwWhere
	case "LIMIT":
		return kwLimit
	case "OFFSET":
		return kwOffset
	case "GROUP", "HAVING", "ORDER", "WINDOW", "FETCH", "FOR", "UNION", "INTERSECT", "EXCEPT", "RETURNING", "ON":
		return kwStop
	case "AND", "OR", "NOT", "LIKE", "ILIKE", "BETWEEN", "SYMMETRIC", "CASE", "WHEN", "THEN", "ELSE", "FROM", "IN", "BY":
		return kwOperand
	}
	return 0
}

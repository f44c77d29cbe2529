package plan

// Reads says on one line how the scan reaches its rows.
func (n *Scan) Reads() string { return n.Access.describe(n.Table) }

// Reads says on one line how the query reaches its rows; "" without a table.
func (q *Query) Reads() string {
	if q.Table == nil {
		return ""
	}
	return q.Access.describe(q.Table)
}

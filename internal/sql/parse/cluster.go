package parse

import (
	"strconv"
	"strings"

	"kalamdb/internal/fault"
)

// Cluster is a CLUSTER statement.
type Cluster struct {
	// Action is "snapshot", "purge", "trigger-election", "transfer-leader",
	// "stepdown", "rebalance", "join", "clear", "leave", "list", "status" or "ls".
	Action string
	// Upto is the index of PURGE, Node the number of TRANSFER LEADER and JOIN.
	Upto, Node uint64
	// RPC and API are the addresses of JOIN.
	RPC, API string
}

func (*Cluster) statement() {}

// cluster reads CLUSTER. What follows the words is no SQL: addresses have
// colons, and --upto would be a comment; so it is read as text.
func (p *statementParser) cluster() (Statement, error) {
	p.i++
	offset := p.offset()
	words := p.clusterWords()
	if len(words) == 0 {
		return nil, syntaxError(p.src, offset, "CLUSTER needs one of SNAPSHOT, PURGE, TRIGGER ELECTION, TRANSFER LEADER, STEPDOWN, REBALANCE, JOIN and CLEAR")
	}
	st := &Cluster{}
	var rest []string
	st.Action, rest = clusterAction(words)
	var err error
	switch st.Action {
	case "":
		return nil, syntaxError(p.src, offset, "Unsupported statement type 'CLUSTER %s'", shortened(strings.ToUpper(words[0])))
	case "purge":
		rest, err = st.purge(rest)
	case "transfer-leader":
		rest, err = st.transfer(rest)
	case "join":
		rest, err = st.join(rest)
	}
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, syntaxError(p.src, offset, "CLUSTER %s takes no '%s'", strings.ToUpper(st.Action), shortened(rest[0]))
	}
	return st, nil
}

// clusterWords returns what stands behind CLUSTER, divided by blanks, without
// quotes and closing semicolons.
func (p *statementParser) clusterWords() []string {
	text := p.src[p.toks[p.i-1].end:]
	text = strings.TrimRight(strings.TrimSpace(text), ";")
	words := strings.Fields(text)
	for i, w := range words {
		if w == "--" || strings.HasPrefix(w, "/*") {
			return words[:i] // a comment
		}
		words[i] = strings.Trim(w, `'"`)
	}
	return words
}

// clusterAction reads the action, whose words may be joined by a dash.
func clusterAction(words []string) (action string, rest []string) {
	first := strings.ToLower(words[0])
	two := ""
	if len(words) > 1 {
		two = first + "-" + strings.ToLower(words[1])
	}
	switch first {
	case "snapshot", "purge", "rebalance", "join", "clear", "leave", "list", "status", "ls", "stepdown":
		return first, words[1:]
	case "step-down":
		return "stepdown", words[1:]
	case "trigger-election", "transfer-leader":
		return first, words[1:]
	}
	switch two {
	case "trigger-election", "transfer-leader":
		return two, words[2:]
	case "step-down":
		return "stepdown", words[2:]
	}
	return "", nil
}

// purge reads [--upto] n.
func (c *Cluster) purge(words []string) ([]string, error) {
	if len(words) > 0 && strings.EqualFold(words[0], "--upto") {
		words = words[1:]
	}
	if len(words) > 0 {
		if option, value, ok := strings.Cut(words[0], "="); ok && strings.EqualFold(option, "--upto") {
			words = append([]string{value}, words[1:]...)
		}
	}
	return c.number(&c.Upto, words, "CLUSTER PURGE requires --upto <index> or a numeric index")
}

func (c *Cluster) transfer(words []string) ([]string, error) {
	return c.number(&c.Node, words, "CLUSTER TRANSFER-LEADER requires a numeric node id")
}

// join reads id [RPC] address [API] address.
func (c *Cluster) join(words []string) ([]string, error) {
	words, err := c.number(&c.Node, words, "CLUSTER JOIN requires a numeric node id")
	if err != nil {
		return nil, err
	}
	for _, a := range []struct {
		into *string
		word string
	}{{&c.RPC, "RPC"}, {&c.API, "API"}} {
		if len(words) > 0 && strings.EqualFold(words[0], a.word) {
			words = words[1:]
		}
		if len(words) == 0 || words[0] == "" {
			return nil, fault.New(fault.Syntax, "CLUSTER JOIN requires an %s address", a.word)
		}
		*a.into, words = words[0], words[1:]
	}
	return words, nil
}

// number takes a whole number from the front of the words.
func (c *Cluster) number(into *uint64, words []string, missing string) ([]string, error) {
	if len(words) == 0 {
		return nil, fault.New(fault.Syntax, "%s", missing)
	}
	n, err := strconv.ParseUint(words[0], 10, 63)
	if err != nil {
		return nil, fault.New(fault.Syntax, "%s", missing)
	}
	*into = n
	return words[1:], nil
}

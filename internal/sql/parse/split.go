package parse

import (
	"errors"

	"kalamdb/internal/fault"
)

// Piece is one statement of a batch: from its first token to its last.
type Piece struct {
	Text string
	// Offset is where Text begins in the batch.
	Offset int
}

// Split cuts a batch at the semicolons outside of quotes, comments and dollar
// bodies. Statements without a token are dropped. On a quote or comment that
// never ends it returns BATCH_PARSE_ERROR and the statements before the one it
// stands in, so that none of them means a lone statement.
func Split(text string) ([]Piece, error) {
	toks, err := scan(text)
	var pieces []Piece
	first := -1
	for i, t := range toks {
		if t.kind != tokPunct || text[t.start] != ';' {
			if first < 0 {
				first = i
			}
			continue
		}
		if first >= 0 {
			pieces = append(pieces, piece(text, toks[first:i]))
		}
		first = -1
	}
	if err != nil {
		if f := (*fault.Error)(nil); errors.As(err, &f) {
			err = fault.At(fault.BatchParseError, f.Offset, "%s", f.Message)
		}
		return pieces, err
	}
	if first >= 0 {
		pieces = append(pieces, piece(text, toks[first:]))
	}
	return pieces, nil
}

func piece(text string, toks []token) Piece {
	from, to := toks[0].start, toks[len(toks)-1].end
	return Piece{Text: text[from:to], Offset: from}
}

package core

import (
	"context"

	"kalamdb/internal/sql/parse"
)

const (
	// largeText is where texts begin to be counted: parsing a shorter one takes
	// too little memory to matter.
	largeText = 64 << 10
	// textRoom is how many bytes of large texts are parsed and bound at one
	// time. A tree takes up to some five hundred times its text; more texts
	// wait, within the time of their statement.
	textRoom = 2 << 20
)

// parsing waits for the room to parse and bind a text, and returns what gives
// it back. Nobody who has room asks for more.
func (db *DB) parsing(ctx context.Context, text string) (release func(), err error) {
	if len(text) < largeText {
		return func() {}, nil
	}
	n := min(int64(len(text)), textRoom)
	if err := db.texts.Acquire(ctx, n); err != nil {
		return nil, err
	}
	return func() { db.texts.Release(n) }, nil
}

// parse parses one statement when there is room.
func (db *DB) parse(ctx context.Context, text string) (parse.Statement, error) {
	release, err := db.parsing(ctx, text)
	if err != nil {
		return nil, err
	}
	defer release()
	return db.parser().Parse(text)
}

package plan

import (
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// Sequencer is what functions see of sequences. Names are texts as written,
// with or without a namespace.
type Sequencer interface {
	// Next draws a number.
	Next(name string) (int64, error)
	// Current is the number drawn last by the caller from a sequence; "" is any.
	Current(name string) (int64, error)
	// Set makes v the next number, or the last one drawn when called.
	Set(name string, v int64, called bool) error
	// Owned names the sequence of a column, "" for none.
	Owned(table, column string) (string, error)
}

func sequenceFunctions() []Function {
	numbered := func(f func(s Sequencer) (int64, error)) func(*Env) (value, error) {
		return func(env *Env) (value, error) {
			if env.Sequence == nil {
				return value{}, fault.New(fault.InvalidOperation, "sequences cannot be used here")
			}
			n, err := f(env.Sequence)
			if err != nil {
				return value{}, err
			}
			return datum.NewInt(datum.BigInt, n), nil
		}
	}
	set := func(env *Env, name, v value, called bool) (value, error) {
		return numbered(func(s Sequencer) (int64, error) { return v.Int(), s.Set(name.Text(), v.Int(), called) })(env)
	}
	return []Function{
		{Name: "nextval", Doc: "Draws a number from a sequence.", Volatility: Volatile, args: []pattern{textArg}, result: bigintType,
			call1: func(env *Env, name value) (value, error) {
				return numbered(func(s Sequencer) (int64, error) { return s.Next(name.Text()) })(env)
			}},
		{Name: "currval", Doc: "The number that this request has drawn last from a sequence.", Volatility: Volatile, args: []pattern{textArg}, result: bigintType,
			call1: func(env *Env, name value) (value, error) {
				return numbered(func(s Sequencer) (int64, error) { return s.Current(name.Text()) })(env)
			}},
		{Name: "lastval", Doc: "The number that this request has drawn last from any sequence.", Volatility: Volatile, result: bigintType,
			call0: numbered(func(s Sequencer) (int64, error) { return s.Current("") })},
		{Name: "setval", Doc: "Makes a number the one that a sequence has given last.", Volatility: Volatile, args: []pattern{textArg, intArg}, result: bigintType,
			call2: func(env *Env, name, v value) (value, error) { return set(env, name, v, true) }},
		{Name: "setval", Doc: "Makes a number the one that a sequence has given last, or, with FALSE, gives next.", Volatility: Volatile, args: []pattern{textArg, intArg, boolArg}, result: bigintType,
			call3: func(env *Env, name, v, called value) (value, error) { return set(env, name, v, called.Bool()) }},
		{Name: "pg_get_serial_sequence", Doc: "The sequence of a SERIAL column, or NULL.", Volatility: Volatile, args: []pattern{textArg, textArg}, result: textType,
			call2: func(env *Env, table, column value) (value, error) {
				if env.Sequence == nil {
					return value{}, fault.New(fault.InvalidOperation, "sequences cannot be used here")
				}
				name, err := env.Sequence.Owned(table.Text(), column.Text())
				if err != nil || name == "" {
					return value{}, err
				}
				return textValue(name)
			}},
	}
}

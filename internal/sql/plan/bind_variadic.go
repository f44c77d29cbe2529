package plan

import (
	"slices"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/parse"
)

// variadicCall binds f(a, VARIADIC array): the elements of the array are the
// last arguments.
func (b *binder) variadicCall(e *parse.Call, name string, entries []*Function) (Expr, error) {
	repeating := slices.DeleteFunc(slices.Clone(entries), func(f *Function) bool { return f.Form != FormCall || !f.variadic || f.calls == nil })
	if len(repeating) == 0 {
		return nil, fault.At(fault.TypeMismatch, e.Offset, "function %s does not take VARIADIC", name)
	}
	args, err := b.exprs(e.Args)
	if err != nil {
		return nil, err
	}
	last := len(args) - 1
	array := args[last]
	if array.Type().Kind == datum.Null {
		if array, err = b.coerce(array, datum.ArrayType(textType), e.Args[last].Pos()); err != nil {
			return nil, err
		}
	}
	t := array.Type()
	if t.Kind != datum.Array {
		return nil, fault.At(fault.TypeMismatch, e.Args[last].Pos(), "VARIADIC takes an array, not %s", typeName(t))
	}
	// An element stands for all of them while the overload is chosen.
	element := t
	element.Kind, element.Elem, element.Dim = t.Elem, 0, 0
	args[last] = &Const{T: element}
	fn := b.choose(repeating, args)
	if fn == nil {
		return nil, wrongArguments(repeating, name, args, e.Offset)
	}
	if err := b.convertArgs(fn, args, e.Offset); err != nil {
		return nil, err
	}
	if to := args[last].Type(); to != element {
		if array, err = b.coerce(array, datum.ArrayType(to), e.Args[last].Pos()); err != nil {
			return nil, err
		}
	}
	result := fn.result
	if fn.typed != nil {
		result = fn.typed(args)
	}
	args[last] = array
	return fold(&Call{fn.spread(), args, result}), nil
}

// spread makes of a function with repeated arguments one that takes them from
// an array. format alone has nothing to fill in when the array is NULL, others
// give NULL.
func (f *Function) spread() *Function {
	g := *f
	g.Name, g.NullOK, g.variadic = f.Name+" variadic", true, false
	g.call0, g.call1, g.call2, g.call3 = nil, nil, nil, nil
	g.calls = func(env *Env, args []value) (value, error) {
		last := args[len(args)-1]
		if last.IsNull() && f.Name != "format" {
			return value{}, nil
		}
		return f.Invoke(env, slices.Concat(args[:len(args)-1], last.Items()))
	}
	return &g
}

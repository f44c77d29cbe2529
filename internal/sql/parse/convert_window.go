package parse

import (
	pg "github.com/pganalyze/pg_query_go/v6"
)

// The bits of the grammar's frame options.
const (
	frameNonDefault        = 0x00001
	frameRange             = 0x00002
	frameRows              = 0x00004
	frameGroups            = 0x00008
	frameUnboundedStart    = 0x00020
	frameUnboundedEnd      = 0x00100
	frameCurrentStart      = 0x00200
	frameCurrentEnd        = 0x00400
	frameStartPreceding    = 0x00800
	frameEndPreceding      = 0x01000
	frameStartFollowing    = 0x02000
	frameEndFollowing      = 0x04000
	frameExcludeCurrentRow = 0x08000
	frameExcludeGroup      = 0x10000
	frameExcludeTies       = 0x20000
)

// window converts what stands behind OVER, or one item of WINDOW.
func (c *converter) window(w *pg.WindowDef) *Window {
	out := &Window{At: At{c.at(w.GetLocation())}, Name: c.name(w.GetName())}
	if out.Name == "" {
		out.Name = c.name(w.GetRefname())
	}
	out.Partition = c.exprs(w.GetPartitionClause())
	out.OrderBy = c.orderBy(w.GetOrderClause())
	o := w.GetFrameOptions()
	if o&frameNonDefault == 0 {
		return out
	}
	f := &Frame{Mode: "range"}
	switch {
	case o&frameRows != 0:
		f.Mode = "rows"
	case o&frameGroups != 0:
		f.Mode = "groups"
	}
	f.Start = FrameBound{frameBound(o, frameUnboundedStart, frameStartPreceding, frameCurrentStart, frameStartFollowing), c.optional(w.GetStartOffset())}
	f.End = FrameBound{frameBound(o, 0, frameEndPreceding, frameCurrentEnd, frameEndFollowing), c.optional(w.GetEndOffset())}
	switch {
	case o&frameExcludeCurrentRow != 0:
		f.Exclude = "current row"
	case o&frameExcludeGroup != 0:
		f.Exclude = "group"
	case o&frameExcludeTies != 0:
		f.Exclude = "ties"
	}
	out.Frame = f
	return out
}

// frameBound names the bound whose bit is set. The grammar refuses a frame that
// starts unbounded following or ends unbounded preceding.
func frameBound(options int32, unboundedPreceding, preceding, current, following int32) string {
	switch {
	case options&unboundedPreceding != 0:
		return "unbounded preceding"
	case options&preceding != 0:
		return "preceding"
	case options&current != 0:
		return "current row"
	case options&following != 0:
		return "following"
	}
	return "unbounded following"
}

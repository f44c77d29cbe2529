package write

import (
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// defaultOf returns what an omitted column gets, and whether the server has
// generated it so that it cannot exist yet. A SNOWFLAKE_ID may: anybody who can
// read the clock can write the ids of the next seconds beforehand.
func (c *composer) defaultOf(position int) (v datum.Value, generated bool, err error) {
	d := c.table.Columns[position].Default
	if d == nil {
		return datum.Value{}, false, nil
	}
	switch d.Function {
	case "":
		v, err = c.literal(position, d)
		return v, false, err
	case schema.DefaultNow:
		if c.table.Columns[position].Type.Kind == datum.BigInt { // the same microseconds, as a number
			return datum.NewInt(datum.BigInt, c.env.Now), false, nil
		}
		return datum.NewInt(datum.Timestamp, c.env.Now), false, nil
	case schema.DefaultCurrentUser:
		return datum.NewText(string(c.env.User)), false, nil
	case schema.DefaultSnowflake:
		return datum.NewInt(datum.BigInt, c.env.NextID()), false, nil
	case schema.DefaultExpression:
		v, err = c.expression(position)
		return v, false, err
	case schema.DefaultUUIDv7:
		return datum.NewText(c.env.UUIDv7()), true, nil
	case schema.DefaultULID:
		return datum.NewText(c.env.ULID()), true, nil
	}
	return datum.Value{}, false, fault.New(fault.Internal, "column %s has an unknown default %s", c.table.Columns[position].Name, d.Function)
}

// literal decodes a literal default once per statement.
func (c *composer) literal(position int, d *schema.Default) (datum.Value, error) {
	if len(d.Literal) == 0 {
		return datum.Value{}, nil
	}
	if c.defaults == nil {
		c.defaults = make([]datum.Value, len(c.table.Columns))
	}
	if c.defaults[position].IsNull() {
		v, _, err := datum.DecodeValue(d.Literal)
		if err != nil {
			return v, err
		}
		c.defaults[position] = v
	}
	return c.defaults[position], nil
}

package plan

import (
	"slices"

	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// overridden returns an INSERT … OVERRIDING USER VALUE with DEFAULT in the place
// of what is given for identity columns; any other as it is.
func overridden(s *parse.Insert, t *schema.Table, columns []int) (*parse.Insert, error) {
	if s.Overriding != "user" {
		return s, nil
	}
	for j, at := range columns {
		if t.Columns[at].Identity == "" {
			continue
		}
		if s.Select != nil {
			if s.Columns == nil {
				continue // a SELECT may end before the column
			}
			return nil, fault.At(fault.NotImplemented, s.Columns[j].Offset, "OVERRIDING USER VALUE before a SELECT is not supported; leave column '%s' out", t.Columns[at].Name)
		}
		next := *s
		next.Values = slices.Clone(s.Values)
		for i, row := range next.Values {
			if j < len(row) && !isDefault(row[j]) {
				next.Values[i] = slices.Clone(row)
				next.Values[i][j] = &parse.Default{At: parse.At{Offset: row[j].Pos()}}
			}
		}
		s = &next
	}
	return s, nil
}

// refuseIdentity refuses values for columns that are GENERATED ALWAYS.
func (p *Insert) refuseIdentity(s *parse.Insert) error {
	if s.Defaults || s.Overriding == "system" {
		return nil
	}
	columns := p.Columns
	if s.Select == nil { // the columns of VALUES as written, DEFAULT among them
		var err error
		if columns, err = targets(p.Table, s.Columns); err != nil {
			return err
		}
	}
	for j, at := range columns {
		c := &p.Table.Columns[at]
		if c.Identity != schema.IdentityAlways {
			continue
		}
		if s.Select != nil {
			return givenAlways(c, s.Select.Offset)
		}
		for _, row := range s.Values {
			if j < len(row) && !isDefault(row[j]) {
				return givenAlways(c, row[j].Pos())
			}
		}
	}
	return nil
}

func givenAlways(c *schema.Column, offset int) error {
	return fault.At(fault.GeneratedAlways, offset, "cannot insert a non-DEFAULT value into column '%s': it is GENERATED ALWAYS; OVERRIDING SYSTEM VALUE allows it", c.Name)
}

package apply

import (
	"kalamdb/internal/command"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
)

// redefineAll puts other definitions in the place of some. Its proposer has judged
// them against the very definitions that are in force.
func redefineAll(edit *catalog.Edit, b *command.Redefine, o *Outcome) error {
	if edit.Definitions.Digest() != b.Digest {
		return command.ErrStaleSchema
	}
	if b.From != "" {
		if err := edit.RenameNamespace(b.From, b.Namespace); err != nil {
			return err
		}
	}
	for i := range b.Sequences {
		s := &b.Sequences[i]
		if err := edit.RedefineSequence(s.From, &s.Sequence, s.Next, s.Restart); err != nil {
			return err
		}
	}
	for i := range b.Tables {
		t := b.Tables[i].Clone()
		if err := edit.RedefineTable(t); err != nil {
			return err
		}
		o.Commit.Altered = append(o.Commit.Altered, t.ID)
	}
	for i := range b.Views {
		v := &b.Views[i]
		from := v.From
		if from.Namespace == b.From {
			from = schema.ObjectName{} // it has gone with the old name of its namespace
		}
		if err := edit.RedefineView(from, &v.View); err != nil {
			return err
		}
	}
	return nil
}

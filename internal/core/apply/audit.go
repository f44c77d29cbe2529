package apply

import (
	"fmt"

	"kalamdb/internal/command"
	"kalamdb/internal/store"
	"kalamdb/internal/store/catalog"
)

// forgetMax is how many old entries one new one removes at most, so that a
// bound that was lowered is reached in steps.
const forgetMax = 64

// trail is where the audit log begins and ends. It is read from the engine once
// and then kept in step, for a group cannot read what it has written itself.
type trail struct{ oldest, next uint64 }

func loadTrail(r store.Reader) (t trail, err error) {
	if t.next, err = store.NextNumber(r, store.NumberAudit); err != nil {
		return t, err
	}
	t.oldest, err = store.NextNumber(r, store.OldestAudit)
	return t, err
}

// write appends the entries of a command and removes as many old ones as it
// takes to keep to its bound. The body of the command has been applied: what
// fails now leaves a batch that must not be committed.
func (t *trail) write(b *store.Batch, c *command.Command) error {
	for _, entry := range c.Trail.Entries {
		entry.Number = t.next
		if err := catalog.AppendAudit(b, entry); err != nil {
			return fmt.Errorf("write the audit log: %w", err)
		}
		t.next++
		for i := 0; i < forgetMax && c.Trail.Keep > 0 && t.next-t.oldest > c.Trail.Keep; i++ {
			catalog.ForgetAudit(b, t.oldest)
			t.oldest++
		}
	}
	store.SetNextNumber(b, store.NumberAudit, t.next)
	store.SetNextNumber(b, store.OldestAudit, t.oldest)
	return nil
}

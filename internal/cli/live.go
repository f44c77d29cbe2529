package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/spf13/cobra"

	kalam "kalamdb/sdk/go"
)

func (s *shell) liveCommand() *cobra.Command {
	var o kalam.SubscribeOptions
	var most int
	c := &cobra.Command{
		Use:   "live <select>",
		Short: "Follow a live query",
		Long:  "Print the result of a SELECT, then every change of it as it is committed, until\ninterrupted. One table with WHERE, joins, GROUP BY, DISTINCT and LIMIT are followed.\nAfter a broken connection it goes on where it was.",
		Example: "  kalam live -u alice \"SELECT id, body FROM chat.message WHERE room = 'tea'\"\n" +
			"  kalam live -u alice --last 20 --json 'SELECT * FROM chat.message'",
		Args: exactArguments(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := s.client()
			if err != nil {
				return err
			}
			live, err := client.Live(c.Context())
			if err != nil {
				return err
			}
			defer live.Close()
			sub, err := live.Subscribe(args[0], o)
			if errors.Is(err, kalam.ErrOptions) {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			if err != nil {
				return err
			}
			for n := 0; most == 0 || n < most; n++ {
				e, err := sub.Next(c.Context())
				if c.Context().Err() != nil {
					return nil // interrupted, as it is meant to end
				}
				if err != nil {
					return err
				}
				if err := s.printEvent(&e); err != nil {
					return fmt.Errorf("print event: %w", err)
				}
			}
			return nil
		},
	}
	flags := c.Flags()
	flags.IntVar(&o.LastRows, "last", 0, "begin with the newest rows only")
	flags.Uint64Var(&o.From, "from", 0, "resume after this position, as --json prints it, instead of taking a snapshot")
	flags.BoolVar(&o.Replay, "replay", false, "when resuming, print each change since rather than the difference")
	flags.BoolVar(&o.NoSnapshot, "changes", false, "print changes only")
	flags.IntVar(&most, "events", 0, "end after this many events, 0 for never")
	return c
}

// printEvent writes one event on a line. As JSON its position is the one to
// resume from behind it.
func (s *shell) printEvent(e *kalam.Event) error {
	if s.json {
		return s.printJSON(map[string]any{
			"event": e.Kind, "row": e.Row, "old": e.Old, "position": fmt.Sprint(e.Resume),
		})
	}
	word := strings.ToUpper(string(e.Kind))
	if e.Kind == kalam.Ready {
		word = "SUBSCRIBED"
	}
	line := fmt.Sprintf("%-10s", word)
	line += members(e.Row)
	if len(e.Old) > 0 {
		line += "  was" + members(e.Old)
	}
	_, err := fmt.Fprintln(s.out, strings.TrimRight(line, " "))
	return err
}

// members prints a row as name=value in the order of names, without the
// system columns.
func members(row map[string]json.RawMessage) string {
	names := make([]string, 0, len(row))
	for name := range row {
		if !strings.HasPrefix(name, "_") {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	var b strings.Builder
	for _, name := range names {
		b.WriteString(" " + printable(name) + "=" + cell(row[name]))
	}
	return b.String()
}

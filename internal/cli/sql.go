package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	kalam "kalamdb/sdk/go"
)

// maxScript is the longest text read from standard input, in bytes.
const maxScript = 1 << 20

func (s *shell) sqlCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "sql [statements]",
		Short:   "Run SQL and print the results",
		Long:    "Run one or more statements, from the argument or from standard input.",
		Example: "  kalam sql -u root 'SELECT * FROM system.namespaces'\n  kalam sql -u alice --json < report.sql",
		Args:    exactArguments(0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			text := strings.Join(args, "")
			if len(args) == 0 {
				script, err := io.ReadAll(io.LimitReader(s.in, maxScript+1))
				if err != nil {
					return fmt.Errorf("read statements: %w", err)
				}
				if len(script) > maxScript {
					return fmt.Errorf("%w: standard input is longer than %d bytes", errUsage, maxScript)
				}
				text = string(script)
			}
			client, err := s.client()
			if err != nil {
				return err
			}
			response, err := client.Query(c.Context(), text)
			if err != nil {
				return err
			}
			return s.printResponse(response)
		},
	}
}

func (s *shell) printResponse(r *kalam.Response) error {
	for i := range r.Results {
		var err error
		if s.json {
			err = s.printJSON(r.Results[i])
		} else {
			err = s.printResult(&r.Results[i])
		}
		if err != nil {
			return fmt.Errorf("print result: %w", err)
		}
	}
	if s.json {
		return nil
	}
	_, err := fmt.Fprintf(s.out, "Took: %.3f ms\n", float64(r.Took)/float64(time.Millisecond))
	return err
}

// printJSON writes a value on a line.
func (s *shell) printJSON(v any) error {
	e := json.NewEncoder(s.out)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// printResult writes a table, or the message of a statement without rows.
func (s *shell) printResult(r *kalam.Result) error {
	if len(r.Columns) == 0 {
		_, err := fmt.Fprintln(s.out, printable(r.Message))
		return err
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	names, rules := make([]string, len(r.Columns)), make([]string, len(r.Columns))
	for i, c := range r.Columns {
		names[i] = printable(c.Name)
		rules[i] = strings.Repeat("-", utf8.RuneCountInString(names[i]))
	}
	fmt.Fprintln(w, strings.Join(names, "\t"))
	fmt.Fprintln(w, strings.Join(rules, "\t"))
	for _, row := range r.Rows {
		cells := make([]string, len(row))
		for i, raw := range row {
			cells[i] = cell(raw)
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(s.out, "(%d row(s))\n", len(r.Rows))
	return err
}

// cell prints a JSON value on one line, a string without its quotes.
func cell(raw json.RawMessage) string {
	var text string
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return "NULL"
	case json.Unmarshal(raw, &text) != nil:
		text = string(raw)
	}
	return printable(text)
}

// printable replaces control characters, which a row could use to write
// anywhere on the terminal, and line breaks.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '·'
		}
		return r
	}, text)
}

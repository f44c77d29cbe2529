// Package cli is the client shell: kalam sql runs statements, kalam live prints
// what a live query tells.
//
// Goroutines: those of the client library. Locks: none.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	kalam "kalamdb/sdk/go"
)

// Exit codes of the shell.
const (
	ExitOK      = 0
	ExitRefused = 1 // the server refused, or could not be reached
	ExitUsage   = 2
)

// errUsage marks faults of the command line.
var errUsage = errors.New("wrong usage")

// shell holds the streams and the flags that all commands share.
type shell struct {
	in       io.Reader
	out, err io.Writer
	version  string
	options  kalam.Options
	json     bool
}

// Run runs the shell with the given arguments and streams, and returns its
// exit code.
func Run(ctx context.Context, version string, args []string, in io.Reader, out, errOut io.Writer) int {
	s := &shell{in: in, out: out, err: errOut, version: version}
	root := s.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return ExitOK
	}
	fmt.Fprintf(errOut, "kalam: %s\n", printable(err.Error()))
	if errors.Is(err, errUsage) {
		return ExitUsage
	}
	return ExitRefused
}

func (s *shell) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "kalam",
		Short:         "Talk to a KalamDB server",
		Long:          "kalam runs SQL on a KalamDB server and follows live queries.\n\nThe password is read from KALAM_PASSWORD; KALAM_URL, KALAM_USER, KALAM_TOKEN and\nKALAM_NAMESPACE stand for the flags of the same names.",
		Version:       s.version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("%w: there is no command %q; see %s --help", errUsage, args[0], c.CommandPath())
			}
			return c.Help()
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	flags := root.PersistentFlags()
	flags.StringVar(&s.options.URL, "url", fromEnvironment("KALAM_URL", "http://127.0.0.1:2900"), "address of the server")
	flags.StringVarP(&s.options.User, "user", "u", fromEnvironment("KALAM_USER", ""), "account that logs in with the password in KALAM_PASSWORD")
	flags.StringVar(&s.options.Token, "token", "", "access token to use instead of an account (KALAM_TOKEN)")
	flags.StringVarP(&s.options.Namespace, "namespace", "n", fromEnvironment("KALAM_NAMESPACE", ""), "namespace of unqualified names")
	flags.BoolVar(&s.json, "json", false, "print JSON, one value a line")
	root.AddCommand(s.sqlCommand(), s.liveCommand())
	return root
}

func fromEnvironment(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

// client makes the client that the flags describe.
func (s *shell) client() (*kalam.Client, error) {
	o := s.options
	o.Password = os.Getenv("KALAM_PASSWORD")
	if o.Token == "" {
		o.Token = os.Getenv("KALAM_TOKEN")
	}
	if o.Token != "" {
		o.User = ""
	}
	if o.User == "" && o.Token == "" {
		return nil, fmt.Errorf("%w: name an account with --user and KALAM_PASSWORD, or a token with --token or KALAM_TOKEN", errUsage)
	}
	c, err := kalam.New(o)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	return c, nil
}

// exactArguments refuses another number of arguments as wrong usage.
func exactArguments(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return fmt.Errorf("%w: %s; see %s --help", errUsage, c.UseLine(), c.CommandPath())
		}
		return nil
	}
}

package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"time"

	"kalamdb/bench/stat"
)

// report is the text that a run writes, shown while it grows.
type report struct {
	out  io.Writer
	text strings.Builder
	aims []aim
}

// aim is a goal and what became of it.
type aim struct {
	what, want, got, verdict string
}

func newReport(out io.Writer) *report { return &report{out: out} }

// String is the whole text so far.
func (r *report) String() string { return r.text.String() }

// Section begins a part.
func (r *report) Section(title string) {
	r.Linef("\n%s\n%s", title, strings.Repeat("-", len(title)))
}

// Linef adds a line.
func (r *report) Linef(format string, args ...any) {
	line := fmt.Sprintf(format, args...) + "\n"
	r.text.WriteString(line)
	_, _ = io.WriteString(r.out, line)
}

// Table adds rows under a header, columns aligned.
func (r *report) Table(header []string, rows [][]string) {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range append([][]string{header}, rows...) {
		fmt.Fprintln(w, strings.Join(row, "\t")+"\t")
	}
	_ = w.Flush()
	r.Linef("%s", strings.TrimRight(text.String(), "\n"))
}

// Aim notes a goal for the end of the report, what was seen, and the verdict:
// Verdict of whether it is met, or what else is to be said.
func (r *report) Aim(what, want, got, verdict string) {
	r.aims = append(r.aims, aim{what, want, got, verdict})
}

// Verdict is what is printed behind an aim.
func Verdict(met bool) string {
	if met {
		return "met"
	}
	return "not met"
}

// AimAtLeast notes a goal for a median that should be large. Nothing measured
// is not met.
func (r *report) AimAtLeast(what string, got stat.Summary, want float64, unit string) {
	r.Aim(what, fmt.Sprintf(">= %g%s", want, unit), interval(got)+unit, Verdict(got.Median >= want))
}

// AimAtMost notes a goal for a median that should be small.
func (r *report) AimAtMost(what string, got stat.Summary, want float64, unit string) {
	r.Aim(what, fmt.Sprintf("<= %g%s", want, unit), interval(got)+unit, Verdict(got.Median <= want))
}

// finish adds the aims and what noise there was.
func (r *report) finish(took time.Duration) {
	r.Section("Aims")
	var rows [][]string
	for _, a := range r.aims {
		rows = append(rows, []string{a.what, a.want, a.got, a.verdict})
	}
	r.Table([]string{"aim", "wanted", "median [95 % interval]", ""}, rows)
	r.Linef("\nAll answers were judged while they were measured. Load of the machine at the end: %s. The run took %s.",
		loadAverage(), took.Round(time.Second))
}

// interval prints a summary.
func interval(s stat.Summary) string {
	if math.IsNaN(s.Median) {
		return "not measured"
	}
	return fmt.Sprintf("%s [%s, %s]", digits(s.Median), digits(s.Low), digits(s.High))
}

// digits prints three of them, or all of a large number.
func digits(v float64) string {
	switch {
	case math.IsNaN(v):
		return "-"
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

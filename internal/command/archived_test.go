package command_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"kalamdb/internal/command"
	"kalamdb/internal/schema"
)

// Every kind of command is either maintenance, which an archive leaves out but
// for its trail, or kept as it is. A new kind must be put in its place here.
func TestArchived(t *testing.T) {
	var left []string
	for name, c := range samples() {
		bare := *c
		bare.Trail = nil
		if kept := command.Archived(&bare); kept == nil {
			left = append(left, strings.TrimPrefix(fmt.Sprintf("%T", command.Plain(c.Body)), "command."))
		} else if kept != &bare {
			t.Errorf("%s is kept as %T", name, kept.Body)
		}
		bare.Trail = &command.Trail{Entries: []schema.AuditEntry{{Action: "A"}}}
		if kept := command.Archived(&bare); kept == nil || kept.Trail != bare.Trail || kept.Time != bare.Time || kept.Actor != bare.Actor {
			t.Errorf("%s: its trail is lost", name)
		}
	}
	slices.Sort(left)
	want := []string{"Adopt", "AdoptPacked", "CutStream", "DropFiles", "DropJobs", "DropWindows", "ExpireStream", "FileBegin", "ForgetHistory", "LosePositions", "Move", "PutJob", "RaiseCeiling", "SwapBytes"}
	if left = slices.Compact(left); !slices.Equal(left, want) {
		t.Errorf("an archive leaves out %q", left)
	}
}

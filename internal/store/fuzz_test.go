package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"kalamdb/internal/disk"
	"kalamdb/internal/store/internal/engine"
)

// FuzzFormat: whatever FORMAT holds, the directory is judged without a panic
// and without a touch, and only a number that is known is taken.
func FuzzFormat(f *testing.F) {
	for _, text := range []string{formatText, "kalamdb 1", "kalamdb 0\n", "kalamdb 2\n", "kalamdb -1", "kalamdb 18446744073709551616", "kalamdb \n", "", "kalamdb 1\r\n\n", "\x00"} {
		f.Add(text, true)
	}
	f.Fuzz(func(t *testing.T, text string, hot bool) {
		number, ok := parseFormat(text)
		if ok && number == 0 {
			t.Fatalf("%q has the format 0", text)
		}
		if written := fmt.Sprintf("kalamdb %d\n", number); ok {
			if again, ok := parseFormat(written); !ok || again != number {
				t.Fatalf("%q is read as %d, which %q is not", text, number, written)
			}
		}
		mem := disk.NewMem()
		if err := mem.MkdirAll("d"); err != nil {
			t.Fatal(err)
		}
		if hot {
			if err := mem.MkdirAll("d/hot"); err != nil {
				t.Fatal(err)
			}
		}
		if err := disk.WriteFile(mem, "d/"+formatName, []byte(text)); err != nil {
			t.Fatal(err)
		}
		err := (&directory{fs: mem, path: "d"}).judge()
		var refused *OpenError
		if err != nil && !errors.As(err, &refused) {
			t.Fatalf("%q gives %v", text, err)
		}
		if (err == nil) != (ok && number <= formatNumber && hot) {
			t.Fatalf("%q (hot %t) is judged %v", text, hot, err)
		}
		if refused != nil && (refused.Kind == Newer) != (number > formatNumber) {
			t.Fatalf("%q is %s", text, refused.Kind)
		}
		if names, err := mem.List("d"); err != nil || strings.Contains(strings.Join(names, " "), lockName) {
			t.Fatalf("judging leaves %v, %v", names, err)
		}
	})
}

// FuzzSys: no value of a sys entry makes its readers panic; those of eight bytes
// are numbers, and lost ranges are read as they are written.
func FuzzSys(f *testing.F) {
	s, err := Open(Options{FS: disk.NewMem(), Dir: "data", MemTableBytes: 1 << 20})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	f.Add([]byte{})
	f.Add(binary.BigEndian.AppendUint64(nil, 77))
	f.Add(append([]byte{rangesVersion}, make([]byte, 32)...))
	f.Add([]byte{rangesVersion, 1, 2, 3})
	f.Fuzz(func(t *testing.T, value []byte) {
		b := s.NewBatch()
		defer b.Close()
		for _, name := range []string{sysPosition, sysCeiling, sysHistoryFloor, sysLostRanges, sysNext + string(NumberFile)} {
			engine.SysPut(b.Engine(), name, value)
		}
		checkNumbers(t, b.Reader(), value)
		ranges, err := LostRanges(b.Reader())
		if err != nil {
			if !errors.Is(err, errSys) {
				t.Fatalf("%x: %v", value, err)
			}
			return
		}
		if 16*len(ranges) >= len(value) || len(ranges) >= rangesMax {
			t.Fatalf("%d ranges out of %d bytes", len(ranges), len(value))
		}
		SetLostRanges(b, ranges)
		again, _, err := engine.SysGet(b.Reader(), sysLostRanges)
		if err != nil || len(ranges) > 0 && !bytes.Equal(again, value) {
			t.Fatalf("%x is read and written as %x, %v", value, again, err)
		}
	})
}

// checkNumbers reads a value as the numbers that sys entries hold.
func checkNumbers(t *testing.T, r Reader, value []byte) {
	t.Helper()
	for name, read := range map[string]func(Reader) (uint64, error){
		"position": Position, "ceiling": Ceiling, "history floor": HistoryFloor,
		"next": func(r Reader) (uint64, error) { return NextNumber(r, NumberFile) },
	} {
		n, err := read(r)
		switch {
		case err != nil && (!errors.Is(err, errSys) || len(value) == 8):
			t.Fatalf("%s of %x: %v", name, value, err)
		case err == nil && (len(value) != 8 || n != binary.BigEndian.Uint64(value)):
			t.Fatalf("%s of %x is %d", name, value, n)
		}
		_ = PositionTime(n)
	}
}

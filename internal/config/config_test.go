package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestLoad runs testdata/load. Each case is a file and arguments env=(…) and
// set=(…); the output is every key that differs from its default, then the
// warnings, or else what is wrong.
func TestLoad(t *testing.T) {
	datadriven.RunTest(t, "testdata/load", func(t *testing.T, d *datadriven.TestData) string {
		dir := t.TempDir()
		s := Source{WorkDir: dir, BinaryDir: filepath.Join(dir, "bin")}
		for _, arg := range d.CmdArgs {
			switch arg.Key {
			case "env":
				s.Env = arg.Vals
			case "set":
				s.Set = arg.Vals
			case "file":
				s.File = filepath.Join(dir, arg.Vals[0])
			}
		}
		if d.Input != "" {
			if err := os.WriteFile(filepath.Join(dir, "server.toml"), []byte(d.Input), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		loaded, err := Load(s)
		if err != nil {
			return strings.ReplaceAll("error: "+err.Error(), dir, "DIR") + "\n"
		}
		var b strings.Builder
		standard := Defaults()
		if !strings.Contains(strings.ToLower(fmt.Sprint(s.Env, s.Set)), "budget") {
			if err := standard.SettleMemory(); err != nil { // for this machine
				t.Fatal(err)
			}
		}
		usual := standard.keys()
		for i, k := range loaded.Options.keys() {
			if k.show() != usual[i].show() {
				fmt.Fprintf(&b, "%s = %s\n", k.name, k.show())
			}
		}
		for _, w := range loaded.Warnings {
			fmt.Fprintf(&b, "warning: %s\n", w)
		}
		return b.String()
	})
}

func TestExample(t *testing.T) {
	const file = "../../config.example.toml"
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(content) != Example() {
		t.Errorf("%s is not what Example returns", file)
	}
	loaded, err := Load(Source{File: file})
	if err != nil {
		t.Fatal(err)
	}
	standard := Defaults()
	if err := standard.SettleMemory(); err != nil {
		t.Fatal(err)
	}
	if got, want := loaded.Options.Print(), standard.Print(); got != want || len(loaded.Warnings) > 0 {
		t.Errorf("the example differs from the defaults: %v\n%s", loaded.Warnings, got)
	}
}

func TestEveryKeyIsDescribed(t *testing.T) {
	o := Defaults()
	seen := map[any]string{}
	for _, k := range o.keys() {
		if !strings.HasSuffix(k.help, ".") || strings.Contains(k.help, "\n") {
			t.Errorf("%s: %q is not a sentence", k.name, k.help)
		}
		if other := seen[k.field]; other != "" {
			t.Errorf("%s and %s set the same field", k.name, other)
		}
		seen[k.field] = k.name
	}
}

// What is printed can be read again and means the same.
func TestPrintRoundTrip(t *testing.T) {
	dir := t.TempDir()
	first, err := Load(Source{WorkDir: dir, BinaryDir: dir, Set: []string{
		"storage.data_path=a \"quoted\" \\path", "security.cors.allowed_origins=https://a.example, https://b.example",
		"live.history_age=90m30s", "commit.max_bytes=1000001", "server.shutdown_grace=0s",
	}})
	if err != nil {
		t.Fatal(err)
	}
	text := first.Options.Print()
	if err := os.WriteFile(filepath.Join(dir, "server.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	second, err := Load(Source{WorkDir: dir, BinaryDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if second.Options.Print() != text {
		t.Errorf("printed:\n%s\nread again:\n%s", text, second.Options.Print())
	}
}

func TestSecretsAreMasked(t *testing.T) {
	loaded, err := Load(Source{WorkDir: t.TempDir(), Env: []string{
		"KALAMDB_JWT_SECRET=short", "KALAMDB_ROOT_PASSWORD=hunter2hunter2", "KALAMDB_AUTH_BCRYPT_COST=4",
	}})
	if err != nil {
		t.Fatal(err)
	}
	shown := loaded.Options.Print() + fmt.Sprint(loaded.Options.Settings(), loaded.Warnings)
	if strings.Contains(shown, "short\"") || strings.Contains(shown, "hunter2") || strings.Count(shown, mask) < 4 {
		t.Errorf("secrets are shown:\n%s", shown)
	}
}

func TestTokenSecret(t *testing.T) {
	o := Defaults()
	o.Storage.DataPath = t.TempDir()
	first, err := o.TokenSecret()
	if err != nil || len(first) != 64 {
		t.Fatalf("TokenSecret = %q, %v", first, err)
	}
	file := filepath.Join(o.Storage.DataPath, "jwt.key")
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s: %v, %v", file, info.Mode(), err)
	}
	again, err := o.TokenSecret()
	if err != nil || string(again) != string(first) {
		t.Errorf("the secret changed: %q, %v", again, err)
	}
	if err := os.WriteFile(file, []byte("cut"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := o.TokenSecret(); err == nil {
		t.Error("a damaged secret is used")
	}
	o.Auth.JWTSecret = "configured"
	if s, err := o.TokenSecret(); err != nil || string(s) != "configured" {
		t.Errorf("TokenSecret = %q, %v", s, err)
	}
}

// FuzzLoad: no file, variable or flag makes the loader panic, and what is
// printed of what was taken can be read again and means the same.
func FuzzLoad(f *testing.F) {
	dir := f.TempDir() // of this process: cases run one after the other
	f.Add("", "KALAMDB_SERVER_PORT=0", "commit.max_rows=7")
	f.Add("[server]\nport = 2900\nhost = \"0.0.0.0\"\n", "KALAMDB_JWT_SECRET=x", "live.history_age=90m30s")
	f.Add("[security.cors]\nallowed_origins = [\"*\", 7]\n", "PORT=99999", "server.shutdown_grace=-1s")
	f.Add("[storage]\ndata_path = {a = 1}\n", "KALAMDB_COMMIT_MAX_BYTES=1TiB", "commit.max_bytes=9223372036854775807MiB")
	f.Add("a.b.c = 1979-05-27\n", "=", "=")
	f.Add("[auth]\nbcrypt_cost = 1e3\njwt_expiry_hours = 1e300\n", "KALAMDB_", "a.b")
	f.Fuzz(func(t *testing.T, text, variable, flag string) {
		file := filepath.Join(dir, "server.toml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s := Source{WorkDir: dir, BinaryDir: dir, Env: []string{variable}, Set: []string{flag}}
		first, err := Load(s)
		if err != nil {
			if first, err = Load(Source{WorkDir: dir, BinaryDir: dir, Env: []string{variable}}); err != nil {
				return
			}
		}
		printed := first.Options.Print()
		if strings.Contains(printed, mask) {
			return // a secret is not printed
		}
		if err := os.WriteFile(file, []byte(printed), 0o600); err != nil {
			t.Fatal(err)
		}
		second, err := Load(Source{WorkDir: dir, BinaryDir: dir})
		if err != nil {
			t.Fatalf("printed:\n%s\nread again: %v", printed, err)
		}
		if got := second.Options.Print(); got != printed {
			t.Fatalf("printed:\n%s\nread again:\n%s", printed, got)
		}
	})
}

// FuzzSize: sizes and networks in any words are refused, or mean what they
// print.
func FuzzSize(f *testing.F) {
	for _, text := range []string{"1GiB", "10 MB", "9223372036854775807B", "8388608TiB", "-1", "1_000KiB", "B", "10.0.0.0/8", "::1", "1.2.3.4/33", "::ffff:1.2.3.4/100", "fe80::1%eth0"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := parseSize(text); err == nil {
			if again, err := parseSize(formatSize(n)); err != nil || again != n {
				t.Fatalf("%q is %d, which prints as %q and is read as %d, %v", text, n, formatSize(n), again, err)
			}
		}
		ranges, err := parseRanges([]string{text})
		if err == nil && (len(ranges) != 1 || !ranges[0].IsValid()) {
			t.Fatalf("%q is the networks %v", text, ranges)
		}
		if err == nil {
			if again, err := parseRanges([]string{ranges[0].String()}); err != nil || again[0] != ranges[0] {
				t.Fatalf("%q is %s, which is read as %v, %v", text, ranges[0], again, err)
			}
		}
		for _, part := range splitList(text) {
			if part == "" || strings.TrimSpace(part) != part {
				t.Fatalf("%q has the part %q", text, part)
			}
		}
	})
}

// TestMachineMemory reads what bounds a process from files as kernels write
// them, and takes the least.
func TestMachineMemory(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	info := write("meminfo", "MemFree: 5 kB\nMemTotal:       4096000 kB\n")
	if got := memTotal(info); got != 4096000<<10 {
		t.Errorf("the machine has %d bytes", got)
	}
	if got := memTotal(filepath.Join(dir, "none")); got != 0 {
		t.Errorf("no machine has %d bytes", got)
	}
	groups := write("cgroup", "9:cpu:/x\n4:memory:/old/group\n0::/new/group\n")
	write("fs/memory.max", "max\n")
	write("fs/new/group/memory.max", "1073741824\n")
	write("fs/memory/old/group/memory.limit_in_bytes", "536870912\n")
	root := filepath.Join(dir, "fs")
	if got := leastMemory(info, groups, root); got != 512<<20 {
		t.Errorf("two groups leave %d bytes", got)
	}
	if got := leastMemory(info, write("cgroup2", "0::/new/group\n"), root); got != 1<<30 {
		t.Errorf("one group leaves %d bytes", got)
	}
	if got := leastMemory(info, filepath.Join(dir, "none"), filepath.Join(dir, "none")); got != 4096000<<10 {
		t.Errorf("no group leaves %d bytes", got)
	}
}

// TestMemory: parts follow the budget, what is set stays, and the budget follows
// the machine.
func TestMemory(t *testing.T) {
	for machine, want := range map[int64]int64{1: 512 << 20, 1 << 30: 512 << 20, 3 << 30: 3 << 29, 64 << 30: 2 << 30} {
		o := Defaults()
		if err := o.settleMemory(machine); err != nil {
			t.Fatal(err)
		}
		if o.Memory.Budget != want || o.Analytics.Memory != want/4 || o.Live.RingBytes != want/32 || o.Commit.MaxBytes != min(want/16, 100<<20) {
			t.Errorf("a machine of %d bytes: %+v %+v %+v", machine, o.Memory, o.Analytics, o.Commit)
		}
		// What may be full at one time leaves something for the program.
		full := int64(0)
		for _, p := range o.parts() {
			if p.key != "commit.max_bytes" && p.key != "transaction.max_bytes" { // within other parts
				full += *p.field
			}
		}
		full += (memTables - 1) * o.Memory.MemTable
		if full > want-want/8 || o.GoMemory() < want/2 {
			t.Errorf("of a budget of %d bytes the parts take %d; Go may have %d", want, full, o.GoMemory())
		}
		before := o
		if err := o.settleMemory(machine * 2); err != nil || fmt.Sprint(o) != fmt.Sprint(before) {
			t.Errorf("settled twice: %v\n%+v\n%+v", err, before, o)
		}
	}
}

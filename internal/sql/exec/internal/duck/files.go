package duck

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"kalamdb/internal/datum"
)

// Files are Parquet files that kfiles(i) reads, as columns c0, c1 and so on,
// with file_row_number and file_index beside them: the number of the row in its
// file and the place of the file in Paths. Files that lack a column have NULL.
type Files struct {
	// Folders hold the files, at any depth. The instance may read them, and
	// nothing else, so it is opened anew when a statement comes with others.
	Folders []string
	Paths   []string
	Columns []FileColumn
}

// FileColumn is a column by its field id, and the type that it is read in.
type FileColumn struct {
	ID   int
	Type datum.Type
}

var errPath = errors.New("a path of a file is not below its folders, or not plain")

// text writes the call that kfiles stands for.
func (f *Files) text() (string, error) {
	var s strings.Builder
	s.WriteString("read_parquet([")
	for i, path := range f.Paths {
		if !f.holds(path) {
			return "", internal(errPath)
		}
		if i > 0 {
			s.WriteString(", ")
		}
		s.WriteString(quoted(path))
	}
	s.WriteString("], schema = MAP {")
	for i, c := range f.Columns {
		if i > 0 {
			s.WriteString(", ")
		}
		s.WriteString(strconv.Itoa(c.ID) + ": {name: 'c" + strconv.Itoa(i) + "', type: '" + Physical(c.Type) + "', default_value: NULL}")
	}
	// The statistics of a file do not tell NaN, which is above all numbers.
	s.WriteString("}, can_have_nan = true, file_row_number = true)")
	return s.String(), nil
}

// holds reports whether a path is a plain one below the folders.
func (f *Files) holds(path string) bool {
	return filepath.IsAbs(path) && filepath.Clean(path) == path && !strings.ContainsAny(path, "*?[]{}\\\x00") &&
		slices.ContainsFunc(f.Folders, func(folder string) bool { return strings.HasPrefix(path, folder+"/") })
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// expand writes the calls that kfiles(i) stands for into a text that was
// checked. It is the only one that names a file.
func expand(text string, files []Files) (string, error) {
	if len(files) == 0 {
		return text, nil
	}
	var s strings.Builder
	for i := 0; i < len(text); {
		rest := text[i:]
		length := 1
		switch b := rest[0]; {
		case b == '\'' || b == '"':
			if _, length = unquote(rest); length == 0 {
				return "", internal(errQuoting)
			}
		case isWord(b):
			for length < len(rest) && isWord(rest[length]) {
				length++
			}
			if rest[:length] == "kfiles" {
				call, n, err := callOf(rest[length:], files)
				if err != nil {
					return "", err
				}
				s.WriteString(call)
				i += length + n
				continue
			}
		}
		s.WriteString(rest[:length])
		i += length
	}
	return s.String(), nil
}

// callOf reads the number after kfiles, in parentheses of length n, and returns
// what to write for it.
func callOf(s string, files []Files) (call string, n int, err error) {
	number, _, ok := strings.Cut(strings.TrimPrefix(s, "("), ")")
	i, err := strconv.Atoi(number)
	if !ok || err != nil || i < 0 || i >= len(files) {
		return "", 0, internal(fmt.Errorf("kfiles(%s) of %d", number, len(files)))
	}
	call, err = files[i].text()
	return call, len(number) + 2, err
}

// folders are those of all files of the statement.
func (s *Statement) folders() []string {
	var out []string
	for i := range s.Files {
		out = joined(out, s.Files[i].Folders, len(out)+len(s.Files[i].Folders))
	}
	return out
}

// foldersMost bounds how many folders an instance may read: beyond it those that
// the statement does not need are left out of the next one.
const foldersMost = 64

// reads reports whether the instance may read all the folders.
func (i *instance) reads(folders []string) bool {
	return !slices.ContainsFunc(folders, func(f string) bool { return !slices.Contains(i.folders, f) })
}

// joined returns folders and, up to a number, those of more that are not among
// them.
func joined(folders, more []string, most int) []string {
	out := slices.Clone(folders)
	for _, f := range more {
		if !slices.Contains(out, f) && len(out) < most {
			out = append(out, f)
		}
	}
	return out
}

package config

import (
	"strings"
)

// Example returns config.example.toml: every key, its default, one sentence.
func Example() string {
	o := Defaults()
	return "# Configuration of KalamDB. Every key stands here with its default.\n" +
		"# Environment: KALAMDB_ + section + _ + key in capitals, such as KALAMDB_COMMIT_MAX_ROWS.\n" +
		o.write(true)
}

// Print returns the options in force as TOML, secrets masked.
func (o *Options) Print() string { return strings.TrimPrefix(o.write(false), "\n") }

// Setting is one key as system.settings shows it.
type Setting struct {
	Name, Value, Description, Category string
}

// Settings returns every key in force, secrets masked.
func (o *Options) Settings() []Setting {
	var out []Setting
	for _, k := range o.keys() {
		section, _ := splitName(k.name)
		out = append(out, Setting{
			Name: k.name, Value: strings.Trim(k.show(), `"`), Description: k.help, Category: section,
		})
	}
	return out
}

func (o *Options) write(comments bool) string {
	var b strings.Builder
	last := ""
	for _, k := range o.keys() {
		section, name := splitName(k.name)
		if section != last {
			b.WriteString("\n[" + section + "]\n")
			last = section
		}
		if comments {
			b.WriteString("# " + k.help + "\n")
		}
		b.WriteString(name + " = " + k.show() + "\n")
	}
	return b.String()
}

func splitName(full string) (section, name string) {
	i := strings.LastIndexByte(full, '.')
	return full[:i], full[i+1:]
}

package metamorphic

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// shrink takes operations out of a failing program, words out of operations and
// options out of configs, as long as it still fails, for a bounded time.
func shrink(p program, configs []config, most time.Duration) (program, []config) {
	end := time.Now().Add(most)
	s := &shrinker{p, configs, func(p program, configs []config) bool {
		return time.Now().Before(end) && try(p, configs) != nil
	}}
	s.run()
	return s.program, s.configs
}

// shrinker holds the shortest that fails so far.
type shrinker struct {
	program program
	configs []config
	fails   func(program, []config) bool
}

func (s *shrinker) run() {
	s.dropConfigs()
	for before := ""; before != script(s.program, s.configs); {
		before = script(s.program, s.configs)
		for size := max(1, len(s.program)/2); size > 0; size /= 2 {
			s.dropOps(size)
		}
		s.dropInner()
		s.dropWords()
		s.dropOptions()
	}
}

// dropConfigs keeps one config when one is enough.
func (s *shrinker) dropConfigs() {
	for i := range s.configs {
		if one := s.configs[i : i+1]; s.fails(s.program, one) {
			s.configs = one
			return
		}
	}
	for i := 1; i < len(s.configs); i++ {
		if two := []config{s.configs[0], s.configs[i]}; s.fails(s.program, two) {
			s.configs = two
			return
		}
	}
}

// dropOps takes out stretches of operations, from the end.
func (s *shrinker) dropOps(size int) {
	for from := len(s.program) - size; from >= 0; from -= size {
		if shorter := slices.Delete(slices.Clone(s.program), from, from+size); s.fails(shorter, s.configs) {
			s.program = shorter
			from = min(from, len(shorter))
		}
	}
}

// change keeps the program with an operation replaced if it still fails.
func (s *shrinker) change(i int, o op) bool {
	other := slices.Clone(s.program)
	other[i] = o
	if !s.fails(other, s.configs) {
		return false
	}
	s.program = other
	return true
}

// dropInner takes out what stands inside of operations.
func (s *shrinker) dropInner() {
	for i := range s.program {
		for j := len(s.program[i].inner) - 1; j >= 0; j-- {
			o := s.program[i]
			o.inner = slices.Delete(slices.Clone(o.inner), j, j+1)
			s.change(i, o)
		}
	}
}

// dropWords takes out words of operations, behind the first two.
func (s *shrinker) dropWords() {
	for i := range s.program {
		for j := len(s.program[i].args) - 1; j >= 2; j-- {
			o := s.program[i]
			if j < len(o.args) {
				o.args = slices.Delete(slices.Clone(o.args), j, j+1)
				s.change(i, o)
			}
		}
	}
}

// dropOptions sets fields of configs to their default.
func (s *shrinker) dropOptions() {
	for i := range s.configs {
		for f := range s.configs[i].fields() {
			other := slices.Clone(s.configs)
			switch field := other[i].fields()[f]; {
			case field.number != nil && *field.number != 0:
				*field.number = 0
			case field.word != nil && *field.word != "":
				*field.word = ""
			default:
				continue
			}
			if s.fails(s.program, other) {
				s.configs = other
			}
		}
	}
}

// What is taken for the failure shrinks to the least that has it.
func TestShrink(t *testing.T) {
	p := generate(3, 80)
	s := &shrinker{p, configsOf(3), func(p program, configs []config) bool {
		text := p.String()
		return strings.Contains(text, "flush") && strings.Contains(text, "write") && configs[0] != plainConfig()
	}}
	s.run()
	if len(s.program) != 2 || len(s.configs) != 1 || len(s.program[0].args)+len(s.program[1].args) > 4 {
		t.Errorf("left is\n%s", script(s.program, s.configs))
	}
}

package parse

import "testing"

// texts are the statements of the measurements of Normalize and Parse.
var texts = []struct{ name, text string }{
	{"insert5", "INSERT INTO app.note (id, body, done, price, n) VALUES (12345, 'some text of a note', 'x', 19.90, 42)"},
	{"insert-params", "INSERT INTO app.note (id, body, done, price, n) VALUES ($1, $2, $3, $4, $5)"},
	{"select-key", "SELECT id, body FROM app.note WHERE id = 12345"},
	{"update", "UPDATE app.note SET body = 'other text', n = n + 1 WHERE id = 12345"},
	{"delete", "DELETE FROM app.note WHERE id = 12345"},
}

func BenchmarkNormalize(b *testing.B) {
	for _, t := range texts {
		b.Run(t.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Normalize(t.text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	for _, t := range texts {
		b.Run(t.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(t.text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

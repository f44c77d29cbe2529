package schema_test

import (
	"encoding/json"
	"testing"

	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// FuzzRole: a role in any words is refused, or prints a word that means it; and
// as stored it is read back.
func FuzzRole(f *testing.F) {
	for _, text := range []string{"user", "DBA", "system", "", "admin", "Service ", "uſer"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		role, err := schema.ParseRole(text)
		if err != nil {
			if code := fault.CodeOf(err); code == fault.Internal {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if again, err := schema.ParseRole(role.String()); err != nil || again != role {
			t.Fatalf("%q is %s, which is read as %s, %v", text, role, again, err)
		}
		stored, err := json.Marshal(schema.UserRecord{Role: role})
		var back schema.UserRecord
		if err == nil {
			err = json.Unmarshal(stored, &back)
		}
		if err != nil || back.Role != role {
			t.Fatalf("%s is stored as %s and read as %s, %v", role, stored, back.Role, err)
		}
	})
}

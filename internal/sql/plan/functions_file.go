package plan

import (
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// Files are the files of a request, by the key that FILE names.
type Files interface {
	// File returns the reference of the stored file.
	File(key string) (reference string, err error)
}

// fileFunction is FILE("key"), the value of a file that came with the request.
func fileFunction() Function {
	return Function{Name: "file", Doc: "The file that came with the request under a key, in INSERT and UPDATE of a FILE column.", Volatility: Volatile,
		args: []pattern{textArg}, result: datum.Type{Kind: datum.File},
		call1: func(env *Env, key value) (value, error) {
			if env.Files == nil {
				return value{}, fault.New(fault.InvalidInput, "FILE placeholders require multipart/form-data")
			}
			text, err := env.Files.File(key.Text())
			return datum.NewFile(text), err
		}}
}

package plan

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"hash/crc32"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// digests are the algorithms of DIGEST by name. The map is never written.
var digests = map[string]func(string) []byte{
	"md5":    func(s string) []byte { d := md5.Sum([]byte(s)); return d[:] },
	"sha1":   func(s string) []byte { d := sha1.Sum([]byte(s)); return d[:] },
	"sha224": func(s string) []byte { d := sha256.Sum224([]byte(s)); return d[:] },
	"sha256": func(s string) []byte { d := sha256.Sum256([]byte(s)); return d[:] },
	"sha384": func(s string) []byte { d := sha512.Sum384([]byte(s)); return d[:] },
	"sha512": func(s string) []byte { d := sha512.Sum512([]byte(s)); return d[:] },
}

func hashFunctions() []Function {
	all := []Function{
		{Name: "md5", Doc: "The MD5 digest in hexadecimal digits.", args: []pattern{blobArg}, result: textType,
			call1: func(_ *Env, v value) (value, error) { return textValue(hex.EncodeToString(digests["md5"](v.Bytes()))) }},
	}
	for _, name := range []string{"sha224", "sha256", "sha384", "sha512"} {
		sum := digests[name]
		all = append(all, Function{Name: name, Doc: "The " + strings.ToUpper(name) + " digest as bytes; encode(…, 'hex') gives its digits.", args: []pattern{blobArg}, result: bytesType,
			call1: func(_ *Env, v value) (value, error) { return datum.NewBytes(sum(v.Bytes())), nil }})
	}
	return append(all,
		Function{Name: "digest", Doc: "The digest by an algorithm: md5, sha1, sha224, sha256, sha384 or sha512.", args: []pattern{blobArg, textArg}, result: bytesType,
			call2: func(_ *Env, v, name value) (value, error) {
				sum, ok := digests[strings.ToLower(name.Text())]
				if !ok {
					return value{}, fault.New(fault.InvalidValue, "unknown digest '%s'; there are md5, sha1, sha224, sha256, sha384 and sha512", shorten(name.Text()))
				}
				return datum.NewBytes(sum(v.Bytes())), nil
			}},
		Function{Name: "crc32", Doc: "The CRC-32 checksum.", args: []pattern{blobArg}, result: bigintType,
			call1: func(_ *Env, v value) (value, error) {
				return datum.NewInt(datum.BigInt, int64(crc32.ChecksumIEEE([]byte(v.Bytes())))), nil
			}},
		Function{Name: "encode", Doc: "Bytes as text: hex, base64 or escape.", args: []pattern{blobArg, textArg}, result: textType, call2: pure2(encode)},
		Function{Name: "decode", Doc: "Text as bytes: hex, base64 or escape.", args: []pattern{textArg, textArg}, result: bytesType, call2: pure2(decode)},
	)
}

func unknownEncoding(name string) error {
	return fault.New(fault.InvalidValue, "unknown encoding '%s'; there are hex, base64 and escape", shorten(name))
}

func encode(v, name value) (value, error) {
	b := v.Bytes()
	if err := checkBuilt(product(len(b), 4)); err != nil {
		return value{}, err
	}
	switch strings.ToLower(name.Text()) {
	case "hex":
		return textValue(hex.EncodeToString([]byte(b)))
	case "base64":
		return textValue(base64.StdEncoding.EncodeToString([]byte(b)))
	case "escape":
		return textValue(escapeBytes(b))
	}
	return value{}, unknownEncoding(name.Text())
}

// escapeBytes writes NUL, bytes above 127 and the backslash in octal digits.
func escapeBytes(b string) string {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '\\':
			out = append(out, `\\`...)
		case c == 0 || c >= 0x80:
			out = append(out, '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

func decode(v, name value) (value, error) {
	text := v.Text()
	var b []byte
	var err error
	switch strings.ToLower(name.Text()) {
	case "hex":
		b, err = hex.DecodeString(strings.Join(strings.Fields(text), ""))
	case "base64":
		b, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	case "escape":
		ok := false
		if b, ok = unescapeBytes(text); !ok {
			err = fault.New(fault.InvalidValue, "bad escape")
		}
	default:
		return value{}, unknownEncoding(name.Text())
	}
	if err != nil {
		return value{}, fault.New(fault.InvalidValue, "'%s' is not valid %s", shorten(text), strings.ToLower(name.Text()))
	}
	return datum.NewBytes(b), nil
}

func unescapeBytes(s string) (out []byte, ok bool) {
	octal := func(c byte) bool { return c >= '0' && c <= '7' }
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '\\':
			out = append(out, s[i])
		case i+1 < len(s) && s[i+1] == '\\':
			out = append(out, '\\')
			i++
		case i+3 < len(s) && s[i+1] <= '3' && octal(s[i+1]) && octal(s[i+2]) && octal(s[i+3]):
			out = append(out, (s[i+1]-'0')<<6|(s[i+2]-'0')<<3|(s[i+3]-'0'))
			i += 3
		default:
			return nil, false
		}
	}
	return out, true
}

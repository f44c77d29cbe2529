package plan

import (
	"encoding/hex"
	"time"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// crockford are the digits of ULIDs.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

func idFunctions() []Function {
	text := func(name, doc string, f func(*Env) string, aliases ...string) Function {
		return Function{Name: name, Aliases: aliases, Doc: doc, Volatility: Volatile, result: textType,
			call0: func(env *Env) (value, error) { return textValue(f(env)) }}
	}
	return []Function{
		{Name: "snowflake_id", Doc: "A unique number that grows with time: 41 bits of milliseconds since 2024, 10 bits of node, 12 bits of counter.", Volatility: Volatile, result: bigintType,
			call0: func(env *Env) (value, error) {
				if env.NextID == nil {
					return value{}, fault.New(fault.Internal, "no source of ids was given")
				}
				return datum.NewInt(datum.BigInt, env.NextID()), nil
			}},
		text("uuid_v7", "A unique UUID that grows with time, as text.", (*Env).UUIDv7, "uuidv7"),
		text("ulid", "A unique text of 26 characters that grows with time.", (*Env).ULID),
		{Name: "gen_random_uuid", Aliases: []string{"uuid_v4", "uuid"}, Doc: "A UUID made by chance.", Volatility: Volatile, result: uuidType,
			call0: func(env *Env) (value, error) {
				var u [16]byte
				env.fill(u[:])
				stampUUID(&u, 4)
				return datum.NewUUID(u), nil
			}},
	}
}

// stampUUID sets the version and the variant.
func stampUUID(u *[16]byte, version byte) {
	u[6] = u[6]&0x0f | version<<4
	u[8] = u[8]&0x3f | 0x80
}

// timed returns 16 bytes that begin with the moment of the statement, or the
// present one, in milliseconds, the rest by chance.
func (e *Env) timed() (u [16]byte) {
	e.fill(u[:])
	ms := uint64(e.Now / 1000)
	if e.Now <= 0 {
		ms = uint64(time.Now().UnixMilli())
	}
	for i := range 6 {
		u[i] = byte(ms >> (40 - 8*i))
	}
	return u
}

// UUIDv7 returns a new UUID of version 7 as text.
func (e *Env) UUIDv7() string {
	u := e.timed()
	stampUUID(&u, 7)
	var out [36]byte
	hex.Encode(out[0:8], u[0:4])
	hex.Encode(out[9:13], u[4:6])
	hex.Encode(out[14:18], u[6:8])
	hex.Encode(out[19:23], u[8:10])
	hex.Encode(out[24:], u[10:])
	out[8], out[13], out[18], out[23] = '-', '-', '-', '-'
	return string(out[:])
}

// ULID returns a new ULID.
func (e *Env) ULID() string {
	u := e.timed()
	var out [26]byte
	// 128 bits in digits of 5 bits, from the right; the first holds 3 bits.
	bits, have, at := uint32(0), 0, 15
	for i := 25; i >= 0; i-- {
		if have < 5 && at >= 0 {
			bits |= uint32(u[at]) << have
			have += 8
			at--
		}
		out[i] = crockford[bits&31]
		bits >>= 5
		have -= 5
	}
	return string(out[:])
}

package load

import "math/rand/v2"

// The rows are the same everywhere: a key, a text of TextBytes that follows from
// the key, and a small number that does too until it is updated.
const (
	// TextBytes is the length of a row's text, so that a row has about 100 bytes.
	TextBytes = 80
	// RowBytes is what a row takes in a log that holds nothing else.
	RowBytes = 100
	// FirstKey has as many digits as any key that follows in a run.
	FirstKey = 1_000_000_000
	// Updated is what numbers of updated rows start at; no other is as large.
	Updated = 1_000_000_000
)

// Number is the number of a row that was not updated; it has three digits.
func Number(key int64) int64 { return 100 + key%900 }

// AppendText appends the text of a row: lower case hexadecimal digits.
func AppendText(buf []byte, key int64) []byte {
	const digits = "0123456789abcdef"
	word := uint64(0)
	for i := range TextBytes {
		if i%16 == 0 {
			word = mix(uint64(key)*8 + uint64(i/16))
		}
		buf = append(buf, digits[word&15])
		word >>= 4
	}
	return buf
}

// mix spreads the bits of x over the whole word.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// keys deals the keys of a job.
type keys struct {
	job    Job
	dealt  int64
	chance *rand.Rand
}

func newKeys(job Job) *keys {
	return &keys{job: job, chance: rand.New(rand.NewPCG(uint64(job.First), uint64(job.Keys)))}
}

// next returns key and number of the next request, or false when the job has no
// more.
func (k *keys) next() (key, n int64, ok bool) {
	if k.job.Requests > 0 && k.dealt >= k.job.Requests {
		return 0, 0, false
	}
	i := k.dealt
	k.dealt++
	switch k.job.Verb {
	case Select, SelectParams:
		key = k.job.First + k.chance.Int64N(k.job.Keys)
		return key, Number(key), true
	case Update:
		return k.job.First + i%k.job.Keys, Updated + (k.job.Updates+i)%Updated, true
	case Delete:
		return k.job.First + i, 0, i < k.job.Keys
	case Aggregate:
		return k.job.First, k.job.Keys, true
	}
	key = k.job.First + i*k.job.Verb.Keys()
	return key, Number(key), true
}

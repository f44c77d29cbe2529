package backup

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"kalamdb/internal/store"
)

// The bytes of a file of an archive; docs/format/archive.md draws them.
const (
	stretchMagic   = "KALAMLOG"
	stretchVersion = 1
	stretchHead    = 8 + 2 + 16 + 3*8 + 4 + 2*8
	// stretchMost bounds the commands of one file: those of one commit more than
	// what a file is cut at.
	stretchMost = 1 << 30
)

// errStretch is what a file of an archive that cannot be read comes down to.
var errStretch = errors.New("the file is damaged")

// Stretch is a file of an archive: the commands of all commits with positions
// above From, up to Through.
type Stretch struct {
	ID            store.ArchiveID
	Number        uint64
	From, Through uint64
	Entries       []store.LogEntry
}

// encode returns the bytes of the file. Equal stretches have equal bytes.
func (s *Stretch) encode() ([]byte, error) {
	var plain []byte
	for i := range s.Entries {
		e := &s.Entries[i]
		plain = binary.AppendUvarint(plain, e.Position)
		plain = binary.AppendUvarint(plain, e.Prior)
		plain = binary.AppendUvarint(plain, uint64(len(e.Command)))
		plain = append(plain, e.Command...)
	}
	var packed bytes.Buffer
	zip, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err == nil {
		_, err = zip.Write(plain)
	}
	if err == nil {
		err = zip.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("compress commands for the archive: %w", err)
	}
	out := make([]byte, 0, stretchHead+packed.Len()+sha256.Size)
	out = append(append(out, stretchMagic...), stretchVersion, 0)
	out = append(out, s.ID[:]...)
	for _, n := range [...]uint64{s.Number, s.From, s.Through} {
		out = binary.BigEndian.AppendUint64(out, n)
	}
	out = binary.BigEndian.AppendUint32(out, uint32(len(s.Entries)))
	out = binary.BigEndian.AppendUint64(out, uint64(len(plain)))
	out = binary.BigEndian.AppendUint64(out, uint64(packed.Len()))
	out = append(out, packed.Bytes()...)
	sum := sha256.Sum256(out)
	return append(out, sum[:]...), nil
}

// equal reports whether two stretches hold the same commands.
func (s *Stretch) equal(t *Stretch) bool {
	return s.ID == t.ID && s.Number == t.Number && s.From == t.From && s.Through == t.Through &&
		slices.EqualFunc(s.Entries, t.Entries, func(a, b store.LogEntry) bool {
			return a.Position == b.Position && a.Prior == b.Prior && bytes.Equal(a.Command, b.Command)
		})
}

// decodeStretch reads a file of an archive. Commands are not looked into.
func decodeStretch(raw []byte) (*Stretch, error) {
	if len(raw) < stretchHead+sha256.Size || string(raw[:8]) != stretchMagic {
		return nil, errStretch
	}
	if raw[8] != stretchVersion || raw[9] != 0 {
		return nil, fmt.Errorf("the file has version %d.%d; this server reads version %d.0", raw[8], raw[9], stretchVersion)
	}
	body := raw[:len(raw)-sha256.Size]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], raw[len(body):]) {
		return nil, errStretch
	}
	s := &Stretch{}
	copy(s.ID[:], raw[10:26])
	s.Number, s.From, s.Through = binary.BigEndian.Uint64(raw[26:]), binary.BigEndian.Uint64(raw[34:]), binary.BigEndian.Uint64(raw[42:])
	count, size, packed := binary.BigEndian.Uint32(raw[50:]), binary.BigEndian.Uint64(raw[54:]), binary.BigEndian.Uint64(raw[62:])
	if packed != uint64(len(body)-stretchHead) || size > stretchMost || uint64(count) > size || s.From >= s.Through {
		return nil, errStretch
	}
	plain, err := unzip(body[stretchHead:], int64(size))
	if err != nil {
		return nil, err
	}
	return s, s.read(plain, int(count))
}

func unzip(packed []byte, size int64) ([]byte, error) {
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, errStretch
	}
	plain, err := io.ReadAll(io.LimitReader(zip, size+1))
	if err != nil || int64(len(plain)) != size {
		return nil, errStretch
	}
	return plain, nil
}

// read takes the commands apart. Their positions must rise within the stretch.
func (s *Stretch) read(plain []byte, count int) error {
	last := s.From
	for range count {
		var e store.LogEntry
		var length uint64
		for _, n := range [...]*uint64{&e.Position, &e.Prior, &length} {
			v, used := binary.Uvarint(plain)
			if used <= 0 {
				return errStretch
			}
			*n, plain = v, plain[used:]
		}
		if length > uint64(len(plain)) || e.Prior < last || e.Position <= e.Prior || e.Position > s.Through {
			return errStretch
		}
		e.Command, plain = plain[:length:length], plain[length:]
		s.Entries = append(s.Entries, e)
		last = e.Position
	}
	if len(plain) > 0 || count == 0 || last != s.Through {
		return errStretch
	}
	return nil
}

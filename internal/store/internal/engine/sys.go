package engine

// SysGet returns the entry of the store itself under a name. The names are
// listed in docs/format/keyspaces.md.
func SysGet(r Reader, name string) (value []byte, ok bool, err error) {
	return Get(r, sysKey(name))
}

// SysPut stores an entry under a name.
func SysPut(b *Batch, name string, value []byte) { Set(b, sysKey(name), value) }

// SysDelete removes the entry under a name.
func SysDelete(b *Batch, name string) { Delete(b, sysKey(name)) }

func sysKey(name string) []byte { return append([]byte{KeyspaceSys}, name...) }

package disk

import "io/fs"

// OpKind names what an operation does.
type OpKind string

// The operations that a hook sees.
const (
	OpOpen   OpKind = "open"   // ModeRead
	OpCreate OpKind = "create" // ModeCreate, and ModeWrite
	OpLock   OpKind = "lock"   // ModeLock
	OpRemove OpKind = "remove"
	OpRename OpKind = "rename" // Path is the old name
	OpLink   OpKind = "link"   // Path is the old name
	OpMkdir  OpKind = "mkdir"
	OpList   OpKind = "list"
	OpStat   OpKind = "stat"
	OpUsage  OpKind = "usage"
	OpRead   OpKind = "read"
	OpWrite  OpKind = "write"
	OpSync   OpKind = "sync"
	OpClose  OpKind = "close"
)

// Op is one operation about to be done.
type Op struct {
	// Kind says what it does.
	Kind OpKind
	// Path is the name it was asked for, or the name its file was opened by.
	Path string
	// Bytes is the size of a read or write.
	Bytes int
}

// Inject returns fsys with a hook that is called before every operation, from
// many goroutines. An error of the hook is the result of the operation, which
// then does not happen; a close happens all the same. A hook that takes its
// time is a slow disk.
func Inject(fsys FS, hook func(op Op) error) FS { return &injected{fsys, hook} }

// injected asks its hook before each operation.
type injected struct {
	fs   FS
	hook func(op Op) error
}

func (i *injected) Open(name string, mode Mode) (File, error) {
	kind := OpCreate
	switch mode {
	case ModeRead:
		kind = OpOpen
	case ModeLock:
		kind = OpLock
	}
	if err := i.hook(Op{Kind: kind, Path: name}); err != nil {
		return nil, err
	}
	f, err := i.fs.Open(name, mode)
	if err != nil {
		return nil, err
	}
	return &injectedFile{File: f, name: name, hook: i.hook}, nil
}

func (i *injected) Remove(name string) error {
	if err := i.hook(Op{Kind: OpRemove, Path: name}); err != nil {
		return err
	}
	return i.fs.Remove(name)
}

func (i *injected) Rename(oldName, newName string) error {
	if err := i.hook(Op{Kind: OpRename, Path: oldName}); err != nil {
		return err
	}
	return i.fs.Rename(oldName, newName)
}

func (i *injected) Link(oldName, newName string) error {
	if err := i.hook(Op{Kind: OpLink, Path: oldName}); err != nil {
		return err
	}
	return i.fs.Link(oldName, newName)
}

func (i *injected) MkdirAll(dir string) error {
	if err := i.hook(Op{Kind: OpMkdir, Path: dir}); err != nil {
		return err
	}
	return i.fs.MkdirAll(dir)
}

func (i *injected) List(dir string) ([]string, error) {
	if err := i.hook(Op{Kind: OpList, Path: dir}); err != nil {
		return nil, err
	}
	return i.fs.List(dir)
}

func (i *injected) Stat(name string) (fs.FileInfo, error) {
	if err := i.hook(Op{Kind: OpStat, Path: name}); err != nil {
		return nil, err
	}
	return i.fs.Stat(name)
}

func (i *injected) Usage(path string) (free, total uint64, err error) {
	if err := i.hook(Op{Kind: OpUsage, Path: path}); err != nil {
		return 0, 0, err
	}
	return i.fs.Usage(path)
}

// injectedFile asks the hook before each operation on a file. It hides the
// descriptor, so that nothing passes the hook by.
type injectedFile struct {
	File
	name string
	hook func(op Op) error
}

func (f *injectedFile) Read(p []byte) (int, error) {
	if err := f.hook(Op{Kind: OpRead, Path: f.name, Bytes: len(p)}); err != nil {
		return 0, err
	}
	return f.File.Read(p)
}

func (f *injectedFile) ReadAt(p []byte, offset int64) (int, error) {
	if err := f.hook(Op{Kind: OpRead, Path: f.name, Bytes: len(p)}); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, offset)
}

func (f *injectedFile) Write(p []byte) (int, error) {
	if err := f.hook(Op{Kind: OpWrite, Path: f.name, Bytes: len(p)}); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

func (f *injectedFile) WriteAt(p []byte, offset int64) (int, error) {
	if err := f.hook(Op{Kind: OpWrite, Path: f.name, Bytes: len(p)}); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, offset)
}

func (f *injectedFile) Sync() error {
	if err := f.hook(Op{Kind: OpSync, Path: f.name}); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *injectedFile) Close() error {
	hookErr := f.hook(Op{Kind: OpClose, Path: f.name})
	if err := f.File.Close(); err != nil {
		return err
	}
	return hookErr
}

func (f *injectedFile) Fd() uintptr { return NoFd }

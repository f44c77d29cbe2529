package parse

// Backup is BACKUP DATABASE [ns] TO 'path'. Namespace is nil for the whole
// database.
type Backup struct {
	Namespace *Name
	Path      string
}

// Restore is RESTORE DATABASE [ns] FROM 'path'.
type Restore struct {
	Namespace *Name
	Path      string
}

// ShowBackup is SHOW BACKUP ['path'].
type ShowBackup struct{ Path string }

func (*Backup) statement()     {}
func (*Restore) statement()    {}
func (*ShowBackup) statement() {}

// backup reads BACKUP DATABASE.
func (p *statementParser) backup() (Statement, error) {
	st := &Backup{}
	var err error
	st.Namespace, st.Path, err = p.copied("TO")
	return st, err
}

// restore reads RESTORE DATABASE.
func (p *statementParser) restore() (Statement, error) {
	st := &Restore{}
	var err error
	st.Namespace, st.Path, err = p.copied("FROM")
	return st, err
}

// copied reads what follows BACKUP or RESTORE.
func (p *statementParser) copied(direction string) (ns *Name, path string, err error) {
	p.i++
	if err = p.expect("DATABASE"); err != nil {
		return nil, "", err
	}
	if !p.at(direction) {
		if ns, err = p.namespace(); err != nil {
			return nil, "", err
		}
	}
	if err = p.expect(direction); err != nil {
		return nil, "", err
	}
	if path, err = p.str(); err != nil {
		return nil, "", err
	}
	return ns, path, p.end()
}

// showBackup reads what follows SHOW BACKUP.
func (p *statementParser) showBackup() (Statement, error) {
	st := &ShowBackup{}
	if p.ended() {
		return st, nil
	}
	var err error
	if st.Path, err = p.str(); err != nil {
		return nil, err
	}
	return st, p.end()
}

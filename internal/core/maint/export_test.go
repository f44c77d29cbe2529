package maint

import "context"

// RemoveAll looks for files that may go whether or not there can be any, as the
// end of a flush does.
func (m *Maintainer) RemoveAll(ctx context.Context) error {
	_, err := m.removeFiles(ctx, 0)
	return err
}

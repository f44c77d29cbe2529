package config

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// secretFile holds the generated token secret below the data directory.
const secretFile = "jwt.key"

// TokenSecret returns what signs tokens: the configured secret, or the one in
// jwt.key of the data directory, which is written when it is missing. The data
// directory must exist and be locked by the caller.
func (o *Options) TokenSecret() ([]byte, error) {
	if o.Auth.JWTSecret != "" {
		return []byte(o.Auth.JWTSecret), nil
	}
	file := filepath.Join(o.Storage.DataPath, secretFile)
	content, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return writeSecret(file)
	}
	if err != nil {
		return nil, fmt.Errorf("read token secret: %w", err)
	}
	text := strings.TrimSpace(string(content))
	if len(text) < minSecret {
		return nil, fmt.Errorf("token secret %s holds %d characters, too few to be one; remove the file to make a new secret", file, len(text))
	}
	return []byte(text), nil
}

// writeSecret makes a secret. It is complete on disk before it has its name,
// so a crash leaves no half of one.
func writeSecret(file string) ([]byte, error) {
	random := make([]byte, 32)
	if _, err := rand.Read(random); err != nil {
		return nil, fmt.Errorf("make token secret: %w", err)
	}
	text := []byte(hex.EncodeToString(random))
	temporary := file + ".tmp"
	if err := writeSynced(temporary, append(text, '\n')); err != nil {
		return nil, fmt.Errorf("write token secret: %w", err)
	}
	if err := os.Rename(temporary, file); err != nil {
		return nil, fmt.Errorf("write token secret: %w", err)
	}
	dir, err := os.Open(filepath.Dir(file))
	if err != nil {
		return nil, fmt.Errorf("write token secret: %w", err)
	}
	return text, errors.Join(dir.Sync(), dir.Close())
}

func writeSynced(file string, content []byte) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

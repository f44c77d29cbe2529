package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// minSecret is the shortest acceptable token secret, in characters.
const minSecret = 32

// weakSecrets are placeholders of examples and tutorials, compared in lower
// case. It is never written.
var weakSecrets = []string{
	"secret", "test", "password", "changeme", "change-me", "change_me", "default", "admin", "kalamdb", "jwt_secret", "jwt-secret",
	"your-secret-key", "your-secret-key-change-me", "your-secret-key-change-in-production",
	"change-me-in-production", "changeme-in-production", "please-change-me", "replace-me",
	"kalamdb-dev-secret-key-change-in-production", "change_this_secret_in_production_to_something_secure",
}

// check compares keys with each other and with the address.
func (l *loader) check() {
	o := &l.Options
	l.checkSecret()
	if err := o.SettleMemory(); err != nil {
		l.fault(err)
	}
	switch origins := o.Security.CORS.AllowedOrigins; {
	case o.Loopback():
	case len(origins) == 0:
		l.fault(fmt.Errorf("server.host %q is not loopback and security.cors.allowed_origins is empty: list the origins of your applications, or \"*\"", o.Server.Host))
	case slices.Contains(origins, "*"):
		l.warn("security.cors.allowed_origins is \"*\" on an address that is not loopback: any web page may call this server")
	}
	if o.Auth.MinPasswordLength > o.Auth.MaxPasswordLength {
		l.fault(errors.New("auth.min_password_length is greater than auth.max_password_length"))
	}
	if o.WebSocket.ClientTimeout <= o.WebSocket.HeartbeatInterval {
		l.warn("websocket.client_timeout_secs is not greater than websocket.heartbeat_interval_secs: silent clients are cut off before they are asked")
	}
	if len(o.Auth.RootPassword) > 72 {
		l.fault(errors.New("auth.root_password is longer than 72 bytes"))
	}
	if o.Storage.DataPath == "" {
		l.fault(errors.New("storage.data_path is empty"))
	}
	if _, err := parseRanges(o.Security.TrustedProxyRanges); err != nil {
		l.fault(err)
	}
	for _, template := range []struct{ name, value string }{
		{"storage.shared_tables_template", o.Storage.SharedTablesTemplate},
		{"storage.user_tables_template", o.Storage.UserTablesTemplate},
	} {
		if strings.Contains(template.value, "..") || strings.HasPrefix(template.value, "/") {
			l.fault(fmt.Errorf("%s must stay below the storage's folder", template.name))
		}
	}
	l.checkTracing()
	if o.Auth.JWTTrustedIssuers != "" {
		l.warn("auth.jwt_trusted_issuers is set: this version accepts its own tokens only")
	}
	if o.Auth.PasswordPolicy == "off" {
		l.warn("auth.password_policy is \"off\": any password is accepted")
	}
}

// checkTracing: a collector that can never be reached is a mistake of whoever
// wrote it, one that cannot be reached now is none.
func (l *loader) checkTracing() {
	t := &l.Options.Tracing
	if t.Endpoint != "" {
		u, err := url.Parse(t.Endpoint)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
			l.fault(errors.New("tracing.endpoint must be a URL such as http://127.0.0.1:4318/v1/traces; credentials go into tracing.headers"))
		}
	}
	if _, err := t.HeaderValues(); err != nil {
		l.fault(err)
	}
}

// HeaderValues returns the headers for the collector.
func (t *Tracing) HeaderValues() (map[string]string, error) {
	values := map[string]string{}
	for _, entry := range splitList(t.Headers) {
		name, value, ok := strings.Cut(entry, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || name == "" || strings.ContainsAny(name, " \t\r\n:") || strings.ContainsAny(value, "\r\n") {
			return nil, errors.New("tracing.headers must be name=value, by comma")
		}
		values[name] = value
	}
	return values, nil
}

// checkSecret: a weak secret is a warning on loopback and fatal elsewhere.
func (l *loader) checkSecret() {
	s := l.Options.Auth.JWTSecret
	problem := ""
	switch {
	case s == "":
		return
	case slices.Contains(weakSecrets, strings.ToLower(s)):
		problem = "auth.jwt_secret is a well-known placeholder"
	case len([]rune(s)) < minSecret:
		problem = fmt.Sprintf("auth.jwt_secret is shorter than %d characters", minSecret)
	default:
		return
	}
	if l.Options.Loopback() {
		l.warn("%s", problem)
		return
	}
	l.fault(errors.New(problem + "; anyone could sign tokens for this server"))
}

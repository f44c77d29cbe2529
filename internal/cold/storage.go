package cold

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"kalamdb/internal/cold/internal/objstore"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// schemes are the URLs of object stores by the type of the storage.
var schemes = map[string][]string{"s3": {"s3"}, "gcs": {"gs", "gcs"}, "azure": {"az", "azure", "azblob"}}

// settings is what CONFIG may hold.
type settings struct {
	Type      string `json:"type,omitempty"`
	Region    string `json:"region,omitempty"`
	Endpoint  string `json:"endpoint,omitempty"`
	PathStyle *bool  `json:"path_style,omitempty"`
	AllowHTTP *bool  `json:"allow_http,omitempty"`
	Account   string `json:"account_name,omitempty"`
}

// Define checks the row of a storage and puts it into its stored form: one
// spelling of the type, templates with today's placeholders, and for object
// stores a URL. bucket and region are clauses of their own.
func (t *Tier) Define(st *schema.Storage, bucket, region string) error {
	st.Type = strings.ToLower(st.Type)
	if st.Type == "" {
		return fault.New(fault.InvalidDefinition, "a storage needs a TYPE: filesystem, s3, gcs or azure")
	}
	var err error
	if st.SharedTemplate, st.UserTemplate, err = Templates(st.SharedTemplate, st.UserTemplate); err != nil {
		return fault.New(fault.InvalidDefinition, "%s", err)
	}
	if st.Type == "filesystem" {
		if bucket != "" || region != "" || st.Credentials != "" {
			return fault.New(fault.InvalidDefinition, "a storage of type filesystem has no BUCKET, REGION or CREDENTIALS")
		}
		if st.Config != "" && strings.Trim(st.Config, " \t\r\n{}") != "" {
			return fault.New(fault.InvalidDefinition, "a storage of type filesystem has no CONFIG")
		}
		return checkDirectory(st.BaseDirectory)
	}
	if _, ok := schemes[st.Type]; !ok {
		return fault.New(fault.InvalidDefinition, "storage type '%s' is unknown; use filesystem, s3, gcs or azure", st.Type)
	}
	if err := placeBucket(st, bucket); err != nil {
		return err
	}
	if region != "" {
		s, err := settingsOf(*st)
		if err != nil {
			return err
		}
		if s.Region != "" && s.Region != region {
			return fault.New(fault.InvalidDefinition, "REGION '%s' and CONFIG's region '%s' disagree", region, s.Region)
		}
		s.Region = region
		text, err := json.Marshal(s)
		if err != nil {
			return fmt.Errorf("encode the configuration of a storage: %w", err)
		}
		st.Config = string(text)
	}
	_, err = cloudOf(*st)
	return err
}

// checkDirectory checks the base of a storage of type filesystem.
func checkDirectory(text string) error {
	base := strings.TrimPrefix(text, "file://")
	switch {
	case strings.TrimSpace(base) == "":
		return fault.New(fault.InvalidDefinition, "a storage of type filesystem needs a PATH")
	case strings.Contains(base, "://"):
		return fault.New(fault.InvalidDefinition, "the PATH '%s' of a storage of type filesystem is no folder", base)
	case strings.ContainsRune(base, 0):
		return fault.New(fault.InvalidDefinition, "the PATH of a storage holds a zero byte")
	case slices.Contains(strings.Split(base, "/"), ".."):
		return fault.New(fault.InvalidDefinition, "the PATH '%s' of a storage must not hold '..'", base)
	}
	return nil
}

// placeBucket makes a URL of BUCKET, or checks the one that stands in
// BASE_DIRECTORY.
func placeBucket(st *schema.Storage, bucket string) error {
	scheme := schemes[st.Type][0] + "://"
	base := st.BaseDirectory
	for _, other := range schemes[st.Type] {
		bucket = strings.TrimPrefix(bucket, other+"://")
		if rest, ok := strings.CutPrefix(base, other+"://"); ok {
			base = scheme + rest
		}
	}
	switch {
	case bucket == "" && base == "":
		return fault.New(fault.InvalidDefinition, "a storage of type %s needs a BUCKET, or a BASE_DIRECTORY such as '%sbucket/folder'", st.Type, scheme)
	case bucket != "" && base != "" && !strings.Contains(base, "://"):
		base = scheme + strings.Trim(bucket, "/") + "/" + base // a folder in the bucket
	case bucket != "" && base != "" && base != scheme+bucket:
		return fault.New(fault.InvalidDefinition, "BUCKET '%s' and BASE_DIRECTORY '%s' disagree", bucket, base)
	case base == "":
		base = scheme + bucket
	}
	if !strings.HasPrefix(base, scheme) {
		return fault.New(fault.InvalidDefinition, "the BASE_DIRECTORY of a storage of type %s must begin with %s", st.Type, scheme)
	}
	name, prefix, _ := strings.Cut(strings.TrimPrefix(base, scheme), "/")
	prefix = strings.Trim(prefix, "/")
	if name == "" || len(name) > 255 || strings.ContainsFunc(name, func(r rune) bool { return !bucketRune(r) }) {
		return fault.New(fault.InvalidDefinition, "the bucket '%s' of a storage has a character that no bucket may have", name)
	}
	if prefix != "" {
		for part := range strings.SplitSeq(prefix, "/") {
			if part == "" || part == "." || part == ".." || strings.ContainsAny(part, "\x00\\") {
				return fault.New(fault.InvalidDefinition, "the folder '%s' of a storage must be a path without empty parts, '.' and '..'", prefix)
			}
		}
		name += "/" + prefix
	}
	st.BaseDirectory = scheme + name
	return nil
}

func bucketRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.'
}

// settingsOf decodes CONFIG.
func settingsOf(st schema.Storage) (settings, error) {
	var s settings
	if err := strict(st.Config, &s); err != nil {
		return s, fault.New(fault.InvalidDefinition, "CONFIG must be a JSON object with region, endpoint, path_style, allow_http or account_name: %s", err)
	}
	if s.Type != "" && !strings.EqualFold(s.Type, st.Type) {
		return s, fault.New(fault.InvalidDefinition, "CONFIG says type '%s' and TYPE says '%s'", s.Type, st.Type)
	}
	if s.Endpoint != "" {
		u, err := url.Parse(s.Endpoint)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return s, fault.New(fault.InvalidDefinition, "the endpoint in CONFIG must be a URL such as https://host:port, without user and query")
		}
		if u.Scheme == "http" && s.AllowHTTP != nil && !*s.AllowHTTP {
			return s, fault.New(fault.InvalidDefinition, "CONFIG says allow_http false and names an endpoint without TLS")
		}
	}
	return s, nil
}

// RegionOf returns the region that the CONFIG of a storage names.
func RegionOf(st schema.Storage) string {
	s, _ := settingsOf(st) // what cannot be read names none
	return s.Region
}

// strict decodes one JSON object without unknown members; nothing is an empty
// one. The error never quotes a value.
func strict(text string, into any) error {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		var wrong *json.UnmarshalTypeError
		switch {
		case errors.As(err, &wrong):
			return fmt.Errorf("%s must be a %s", wrong.Field, wrong.Type)
		case strings.HasPrefix(err.Error(), "json: unknown field "):
			return errors.New("unknown member " + strings.TrimPrefix(err.Error(), "json: unknown field "))
		}
		return errors.New("it cannot be read")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the object")
	}
	return nil
}

// cloudOf returns how to reach the objects of a storage.
func cloudOf(st schema.Storage) (objstore.CloudOptions, error) {
	s, err := settingsOf(st)
	if err != nil {
		return objstore.CloudOptions{}, err
	}
	_, rest, _ := strings.Cut(st.BaseDirectory, "://")
	bucket, prefix, _ := strings.Cut(rest, "/")
	o := objstore.CloudOptions{
		Type: st.Type, Bucket: bucket, Prefix: prefix, Region: s.Region, Endpoint: s.Endpoint, Account: s.Account,
		PathStyle: s.Endpoint != "",
	}
	if s.PathStyle != nil {
		o.PathStyle = *s.PathStyle
	}
	if st.Type == "gcs" {
		if text := strings.TrimSpace(st.Credentials); text != "" && !json.Valid([]byte(text)) {
			return o, fault.New(fault.InvalidDefinition, "CREDENTIALS of a storage of type gcs must be the JSON key of a service account")
		}
		o.ServiceAccount = st.Credentials
		return o, nil
	}
	var c struct {
		AccessKey  string `json:"access_key_id"`
		SecretKey  string `json:"secret_access_key"`
		Token      string `json:"session_token"`
		Account    string `json:"account_name"`
		AccountKey string `json:"account_key"`
		SAS        string `json:"sas_token"`
	}
	if err := strict(st.Credentials, &c); err != nil {
		return o, fault.New(fault.InvalidDefinition, "CREDENTIALS must be a JSON object with access_key_id and secret_access_key (s3), or account_name and account_key or sas_token (azure): %s", err)
	}
	if st.Type == "s3" && (c.AccessKey == "") != (c.SecretKey == "") {
		return o, fault.New(fault.InvalidDefinition, "CREDENTIALS of a storage of type s3 need both access_key_id and secret_access_key")
	}
	o.AccessKey, o.SecretKey, o.Token, o.AccountKey, o.SAS = c.AccessKey, c.SecretKey, c.Token, c.AccountKey, c.SAS
	if c.Account != "" {
		o.Account = c.Account
	}
	if st.Type == "azure" && o.Account == "" && o.Endpoint == "" {
		return o, fault.New(fault.InvalidDefinition, "a storage of type azure needs account_name in CREDENTIALS or CONFIG")
	}
	return o, nil
}

// Masked returns credentials as they are shown: the names of the members, and
// stars for their values.
func Masked(credentials string) string {
	if credentials == "" {
		return ""
	}
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(credentials), &members) != nil || len(members) == 0 {
		return `{"credentials":"***"}`
	}
	for name := range members {
		members[name] = json.RawMessage(`"***"`)
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(members) != nil {
		return `{"credentials":"***"}`
	}
	return strings.TrimSpace(out.String())
}

// Overlap tells why a storage cannot lie where it says, beside another one:
// files of two storages in one folder would take each other's names.
func (t *Tier) Overlap(st, other schema.Storage) error {
	a, b := t.root(st), t.root(other)
	if a != b && !strings.HasPrefix(a, strings.TrimSuffix(b, "/")+"/") && !strings.HasPrefix(b, strings.TrimSuffix(a, "/")+"/") {
		return nil
	}
	return fault.New(fault.InvalidDefinition, "the place of storage '%s' overlaps that of storage '%s'; choose another folder", st.ID, other.ID)
}

// InData tells why a storage cannot lie inside the data directory, or around it.
func (t *Tier) InData(st schema.Storage) error {
	if st.Type != "filesystem" {
		return nil
	}
	data, err := filepath.Abs(t.options.DataDir)
	if err != nil {
		return fmt.Errorf("find the data directory: %w", err)
	}
	base := t.root(st)
	inside := strings.HasPrefix(base, data+"/") && !strings.HasPrefix(base, path.Join(data, localFolder)+"/")
	if base == data || inside || strings.HasPrefix(data, strings.TrimSuffix(base, "/")+"/") {
		return fault.New(fault.InvalidDefinition, "the PATH of storage '%s' overlaps the data directory; choose another folder", st.ID)
	}
	return nil
}

// root names the place of a storage so that two can be compared: the absolute
// folder, or endpoint and URL.
func (t *Tier) root(st schema.Storage) string {
	if st.Type == "" || st.Type == "filesystem" {
		if abs, err := filepath.Abs(t.Base(st)); err == nil {
			return abs
		}
		return t.Base(st)
	}
	s, _ := settingsOf(st) // a stored one is valid
	return strings.TrimSuffix(s.Endpoint, "/") + " " + st.BaseDirectory
}

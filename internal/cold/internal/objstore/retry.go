package objstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/aws/smithy-go"
	"gocloud.dev/gcerrors"
	"google.golang.org/api/googleapi"
)

// delayMost bounds the wait before an attempt.
const delayMost = 10 * time.Second

// errShort is an answer that is shorter than it should be.
var errShort = errors.New("not all bytes arrived")

// Refused is what an object store says when trying again would not help, or
// when it has not helped.
type Refused struct {
	// Bucket, Operation and Name say what was wanted.
	Bucket, Operation, Name string
	// Reason is what the store said, without secrets.
	Reason string
	// Attempts is how often it was tried.
	Attempts int
	// Missing says that the object is not there.
	Missing bool
	// Passing says that it may succeed later: the store was tried often enough.
	Passing bool
}

// Error returns the sentence.
func (r *Refused) Error() string {
	what := fmt.Sprintf("bucket '%s': %s %s: %s", r.Bucket, r.Operation, r.Name, r.Reason)
	if r.Attempts > 1 {
		what += fmt.Sprintf(" (%d attempts)", r.Attempts)
	}
	return what
}

// Is makes a missing object look like a missing file.
func (r *Refused) Is(target error) bool { return r.Missing && target == fs.ErrNotExist }

// try runs an operation until it succeeds, is refused for good or was tried
// often enough.
func (c *Cloud) try(operation, name string, deadline time.Duration, run func(context.Context) error) error {
	delay := c.o.Delay
	for attempt := 1; ; attempt++ {
		ctx, cancel := context.WithTimeout(c.life, deadline)
		err := run(ctx)
		cancel()
		if err == nil {
			return nil
		}
		if c.life.Err() != nil {
			return &Refused{Bucket: c.o.Bucket, Operation: operation, Name: name, Reason: "the storage is being closed", Attempts: attempt}
		}
		if attempt >= c.o.Attempts || permanent(err) {
			return &Refused{
				Bucket: c.o.Bucket, Operation: operation, Name: name, Reason: c.describe(err, deadline), Attempts: attempt, Missing: missing(err), Passing: !permanent(err),
			}
		}
		c.retry.Add(1)
		if !c.wait(delay/2 + rand.N(delay)) {
			continue // the next attempt says that the storage is being closed
		}
		delay = min(2*delay, delayMost)
	}
}

// wait waits, and reports whether the storage is still open then.
func (c *Cloud) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.life.Done():
		return false
	}
}

// answerOf returns the HTTP status of a refusal and the provider's word for it,
// 0 and "" when there was no answer.
func answerOf(err error) (status int, code string) {
	var api smithy.APIError
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	var aws interface{ HTTPStatusCode() int }
	var azure *azcore.ResponseError
	var google *googleapi.Error
	switch {
	case errors.As(err, &aws):
		status = aws.HTTPStatusCode()
	case errors.As(err, &azure):
		status, code = azure.StatusCode, azure.ErrorCode
	case errors.As(err, &google):
		status = google.Code
		if len(google.Errors) > 0 {
			code = google.Errors[0].Reason
		}
	}
	return status, code
}

// permanent reports whether a refusal will be the same next time.
func permanent(err error) bool {
	if errors.Is(err, errShort) {
		return false
	}
	status, code := answerOf(err)
	switch {
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status >= 500:
		return false
	case code == "RequestTimeout", code == "SlowDown", code == "BadDigest", code == "IncompleteBody", code == "InternalError":
		return false
	case status >= 300:
		return true
	}
	var unknown *net.DNSError
	if errors.As(err, &unknown) && unknown.IsNotFound {
		return true
	}
	switch gcerrors.Code(err) {
	case gcerrors.NotFound, gcerrors.PermissionDenied, gcerrors.InvalidArgument, gcerrors.FailedPrecondition, gcerrors.Unimplemented:
		return true
	}
	return false
}

// unknownCaller reports whether a word of the store is about who asks.
func unknownCaller(code string) bool {
	switch code {
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "AuthenticationFailed":
		return true
	}
	return false
}

// noObject reports whether the word of a refusal with 404 is about the object,
// or none was said.
func noObject(code string) bool {
	switch code {
	case "", "NoSuchKey", "NotFound", "BlobNotFound", "notFound":
		return true
	}
	return false
}

// missing reports whether an object, not its bucket, is not there.
func missing(err error) bool {
	_, code := answerOf(err)
	return gcerrors.Code(err) == gcerrors.NotFound && noObject(code)
}

// describe says what went wrong, without any secret.
func (c *Cloud) describe(err error, deadline time.Duration) string {
	status, code := answerOf(err)
	switch {
	case errors.Is(err, errShort):
		return err.Error()
	case unknownCaller(code), status == http.StatusUnauthorized, status == http.StatusForbidden:
		return fmt.Sprintf("the credentials are refused (%s)", answerText(status, code))
	case status == http.StatusNotFound && (strings.Contains(code, "Bucket") || strings.Contains(code, "Container")):
		return "the bucket does not exist"
	case status == http.StatusNotFound && noObject(code):
		return "the object does not exist"
	case status != 0:
		return "the store answers " + answerText(status, code)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no answer within %s", deadline)
	case gcerrors.Code(err) == gcerrors.NotFound:
		return "the object does not exist"
	}
	var request *url.Error
	if errors.As(err, &request) {
		err = request.Err // the URL may hold a signature
	}
	text := strings.Join(strings.Fields(err.Error()), " ")
	for _, secret := range []string{c.o.SecretKey, c.o.Token, c.o.AccountKey, c.o.SAS, c.o.AccessKey} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	if c.o.ServiceAccount != "" && strings.Contains(text, "PRIVATE KEY") {
		text = "the service account is not usable"
	}
	if len(text) > 300 {
		text = text[:300] + "…"
	}
	return strings.ToValidUTF8(text, "?")
}

func answerText(status int, code string) string {
	if code == "" {
		return fmt.Sprintf("%d", status)
	}
	return fmt.Sprintf("%d %.100s", status, code)
}

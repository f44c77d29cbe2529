package objstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"
	"gocloud.dev/blob/azureblob"
	"gocloud.dev/blob/gcsblob"
	"gocloud.dev/blob/s3blob"
	"gocloud.dev/gcp"
	"golang.org/x/oauth2/google"
)

// defaultRegion is where a bucket of s3 is when nobody says it; stores with an
// endpoint of their own take any.
const defaultRegion = "us-east-1"

// googleScope is what a service account is asked for.
const googleScope = "https://www.googleapis.com/auth/devstorage.read_write"

// open makes the client of a provider. Its own attempts are turned off, so that
// one place decides how often and how long.
func (c *Cloud) open(ctx context.Context) (*blob.Bucket, error) {
	switch c.o.Type {
	case "s3":
		return c.openS3(ctx)
	case "gcs":
		return c.openGCS(ctx)
	case "azure":
		return c.openAzure(ctx)
	}
	return nil, fmt.Errorf("object stores of type %q are unknown", c.o.Type)
}

// transport bounds what one connection may take and how many are kept.
func transport(deadline time.Duration) *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: min(deadline, 10*time.Second), KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   min(deadline, 10*time.Second),
		ResponseHeaderTimeout: deadline,
		IdleConnTimeout:       60 * time.Second,
		MaxIdleConns:          32,
		MaxIdleConnsPerHost:   16,
		ForceAttemptHTTP2:     true,
	}
}

func (c *Cloud) openS3(ctx context.Context) (*blob.Bucket, error) {
	region := c.o.Region
	if region == "" {
		region = defaultRegion
	}
	client := &http.Client{Transport: transport(c.o.Deadline)}
	cfg := aws.Config{Region: region, HTTPClient: client}
	if c.o.AccessKey != "" {
		cfg.Credentials = credentials.NewStaticCredentialsProvider(c.o.AccessKey, c.o.SecretKey, c.o.Token)
	} else {
		var err error
		if cfg, err = config.LoadDefaultConfig(ctx, config.WithRegion(region), config.WithHTTPClient(client)); err != nil {
			return nil, err
		}
	}
	s := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.Retryer = aws.NopRetryer{}
		o.UsePathStyle = c.o.PathStyle
		if c.o.Endpoint != "" {
			o.BaseEndpoint = aws.String(c.o.Endpoint)
		}
	})
	return s3blob.OpenBucket(ctx, s, c.o.Bucket, nil)
}

func (c *Cloud) openGCS(ctx context.Context) (*blob.Bucket, error) {
	var found *google.Credentials
	var err error
	if c.o.ServiceAccount != "" {
		found, err = google.CredentialsFromJSONWithType(c.life, []byte(c.o.ServiceAccount), google.ServiceAccount, googleScope)
	} else {
		found, err = google.FindDefaultCredentials(ctx, googleScope)
	}
	if err != nil {
		return nil, errors.New("no usable credentials for gcs were found")
	}
	client, err := gcp.NewHTTPClient(transport(c.o.Deadline), gcp.CredentialsTokenSource(found))
	if err != nil {
		return nil, err
	}
	return gcsblob.OpenBucket(ctx, client, c.o.Bucket, nil)
}

func (c *Cloud) openAzure(ctx context.Context) (*blob.Bucket, error) {
	endpoint := c.o.Endpoint
	if endpoint == "" {
		endpoint = "https://" + c.o.Account + ".blob.core.windows.net"
	}
	address := endpoint + "/" + c.o.Bucket
	client := azcore.ClientOptions{
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Transport: &http.Client{Transport: transport(c.o.Deadline)},
	}
	options := &container.ClientOptions{ClientOptions: client}
	var store *container.Client
	var err error
	switch {
	case c.o.SAS != "":
		store, err = container.NewClientWithNoCredential(address+"?"+trimQuestion(c.o.SAS), options)
	case c.o.AccountKey != "":
		var key *container.SharedKeyCredential
		if key, err = container.NewSharedKeyCredential(c.o.Account, c.o.AccountKey); err != nil {
			return nil, errors.New("account_key is not a key")
		}
		store, err = container.NewClientWithSharedKeyCredential(address, key, options)
	default:
		var identity *azidentity.DefaultAzureCredential
		if identity, err = azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: client}); err == nil {
			store, err = container.NewClient(address, identity, options)
		}
	}
	if err != nil {
		return nil, err
	}
	return azureblob.OpenBucket(ctx, store, nil)
}

func trimQuestion(sas string) string {
	if len(sas) > 0 && sas[0] == '?' {
		return sas[1:]
	}
	return sas
}

// Enrol one photo, and search with another:
//
//	FR_SERVER=HOST:PORT FR_CA=ca.pem FR_KEY_FILE=key ./search GALLERY SUBJECT ENROL.jpg PROBE.jpg
//
// Without FR_CA and FR_KEY_FILE, it calls a server on this machine that asks for no key.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	fr "fr-core.example/search/gen/fr_api/v1"
)

// bearer sends a key with each call, over TLS only.
type bearer string

func (key bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(key)}, nil
}

func (bearer) RequireTransportSecurity() bool { return true }

func connect() (*grpc.ClientConn, error) {
	server, ca := os.Getenv("FR_SERVER"), os.Getenv("FR_CA")
	if server == "" {
		server = "localhost:50061"
	}
	if ca == "" {
		return grpc.NewClient(server, grpc.WithTransportCredentials(insecure.NewCredentials()))
	}
	tls, err := credentials.NewClientTLSFromFile(ca, "")
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(os.Getenv("FR_KEY_FILE"))
	if err != nil {
		return nil, err
	}
	word := strings.TrimSpace(string(key))
	if word == "" || strings.ContainsFunc(word, func(r rune) bool { return r < '!' || r > '~' }) {
		return nil, errors.New("The file of FR_KEY_FILE holds no key: one line, without spaces.")
	}
	return grpc.NewClient(server, grpc.WithTransportCredentials(tls), grpc.WithPerRPCCredentials(bearer(word)))
}

func photo(path string) (*fr.Probe, error) {
	data, err := os.ReadFile(path)
	return &fr.Probe{Source: &fr.Probe_Image{Image: &fr.Image{Data: data}}}, err
}

func search(gallery, subject, enrolled, probed string) error {
	connection, err := connect()
	if err != nil {
		return err
	}
	defer connection.Close()
	client := fr.NewGalleryServiceClient(connection)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	face, err := photo(enrolled)
	if err != nil {
		return err
	}
	_, err = client.Enrol(ctx, &fr.EnrolRequest{GalleryId: gallery, SubjectId: subject, Face: face})
	if reasonOf(err) == "DUPLICATE_IMAGE" {
		fmt.Println("already enrolled")
	} else if err != nil {
		return err
	}
	probe, err := photo(probed)
	if err != nil {
		return err
	}
	topK := uint32(5)
	answer, err := client.Search(ctx, &fr.SearchRequest{
		GalleryId: gallery, Probe: probe, TopK: &topK,
		Purpose: fr.Purpose_PURPOSE_TESTING, CaseReference: "first try",
	})
	if err != nil {
		return err
	}
	for _, one := range answer.Results[0].Candidates {
		verdict := "below threshold"
		if one.AboveThreshold {
			verdict = "lead"
		}
		fmt.Printf("%d  %s  %.4f  %s\n", one.Rank, one.SubjectId, one.Similarity, verdict)
	}
	fmt.Println(answer.Notice)
	return nil
}

// reasonOf returns the stable reason of a call's error, or its status where the server gave none.
func reasonOf(err error) string {
	failed := status.Convert(err)
	for _, detail := range failed.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.Reason
		}
	}
	return failed.Code().String()
}

// told returns the reason of an error, for programs, and its message, for people.
func told(err error) string {
	if failed, ok := status.FromError(err); ok {
		return reasonOf(err) + ": " + failed.Message()
	}
	return err.Error()
}

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "Usage: search GALLERY SUBJECT ENROL.jpg PROBE.jpg")
		os.Exit(2)
	}
	if err := search(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, told(err))
		os.Exit(1)
	}
}

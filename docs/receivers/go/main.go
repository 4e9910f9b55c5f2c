// A receiver of webhooks: verifies each request, stores its events, and answers.
//
//	go run main.go SECRET_FILE STORE
//
// SECRET_FILE holds one `whsec_...` or more, STORE gets a line of JSON for each event. Put your database,
// with a unique key on the id, in the place of Store. PORT is the port to listen on.
package main

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A request of webhookd has at most 4 MiB of events, and some 400 bytes around each.
const maxBodyBytes = 8 << 20

// keyOf returns the key of a `whsec_...`.
func keyOf(secret string) ([]byte, error) {
	encoded := strings.TrimPrefix(secret, "whsec_")
	if encoded == secret {
		return nil, errors.New("a secret begins with whsec_")
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err == nil && (len(key) < 24 || len(key) > 64) {
		err = errors.New("the key of a secret has 24 to 64 bytes")
	}
	return key, err
}

// verify fails unless one of the keys signed these bytes within the tolerance before or after now.
func verify(keys [][]byte, headers http.Header, body []byte, now time.Time, tolerance time.Duration) error {
	id, timestamp := headers.Get("webhook-id"), headers.Get("webhook-timestamp")
	seconds, err := strconv.ParseUint(timestamp, 10, 62)
	if id == "" || err != nil {
		return errors.New("webhook-id or webhook-timestamp is missing or malformed")
	}
	late := now.Unix() - int64(seconds)
	if late > int64(tolerance.Seconds()) || -late > int64(tolerance.Seconds()) {
		return fmt.Errorf("signed at %s, but it is %d now", timestamp, now.Unix())
	}
	for _, key := range keys {
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%s.", id, timestamp)
		mac.Write(body)
		expected := []byte("v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		for _, signature := range strings.Fields(headers.Get("webhook-signature")) {
			if hmac.Equal(expected, []byte(signature)) {
				return nil
			}
		}
	}
	return errors.New("no signature matches")
}

// Event is one event of a request.
type Event struct {
	ID   string `json:"id"`
	Body string `json:"body"`
}

// events returns the events of a request, in their order.
func events(headers http.Header, body []byte) ([]Event, error) {
	contentType, _, _ := strings.Cut(headers.Get("content-type"), ";")
	contentType = strings.ToLower(strings.TrimSpace(contentType))
	text := string(body)
	// In one header or several.
	ids := strings.Join(headers.Values("webhook-event-ids"), ",")
	var texts []string
	switch {
	case contentType == "application/cloudevents-batch+json":
		var elements []json.RawMessage
		if err := json.Unmarshal(body, &elements); err != nil {
			return nil, err
		}
		var found []Event
		for _, element := range elements {
			var attributes struct{ Source, ID string }
			if err := json.Unmarshal(element, &attributes); err != nil {
				return nil, err
			}
			// By CloudEvents, source and id together are unique.
			found = append(found, Event{attributes.Source + " " + attributes.ID, string(element)})
		}
		return found, nil
	case ids == "":
		// The body is one event, also if it is an array.
		return []Event{{headers.Get("webhook-id"), text}}, nil
	case contentType == "application/x-ndjson":
		for _, line := range strings.Split(text, "\n") {
			if strings.TrimSpace(line) != "" {
				texts = append(texts, line)
			}
		}
	default:
		var elements []json.RawMessage
		if err := json.Unmarshal(body, &elements); err != nil {
			return nil, err
		}
		for _, element := range elements {
			texts = append(texts, string(element))
		}
	}
	split := strings.Split(ids, ",")
	if len(split) != len(texts) {
		return nil, fmt.Errorf("%d events, but %d ids", len(texts), len(split))
	}
	var found []Event
	for index, text := range texts {
		found = append(found, Event{strings.TrimSpace(split[index]), text})
	}
	return found, nil
}

// Store is a file with a line for each event.
type Store struct {
	mutex  sync.Mutex
	file   *os.File
	length int64
	ids    map[string]bool
}

// openStore opens the file, and cuts off a line that a crash left unfinished.
func openStore(path string) (*Store, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	store := &Store{file: file, ids: map[string]bool{}}
	reader := bufio.NewReader(file)
	for {
		line, err := reader.ReadBytes('\n')
		if err == io.EOF {
			return store, file.Truncate(store.length)
		}
		var event Event
		if err == nil {
			err = json.Unmarshal(line, &event)
		}
		if err != nil {
			return nil, err
		}
		store.ids[event.ID] = true
		store.length += int64(len(line))
	}
}

// add stores the events, all or none, and skips those that are stored already. They are on disk then.
func (store *Store) add(events []Event) error {
	store.mutex.Lock()
	defer store.mutex.Unlock()
	var lines bytes.Buffer
	for _, event := range events {
		if !store.ids[event.ID] {
			line, err := json.Marshal(event)
			if err != nil {
				return err
			}
			lines.Write(append(line, '\n'))
		}
	}
	_, err := store.file.Write(lines.Bytes())
	if err == nil {
		err = store.file.Sync()
	}
	if err != nil {
		if cut := store.file.Truncate(store.length); cut != nil {
			log.Fatal(cut) // the next start cuts off what is unfinished
		}
		return err
	}
	store.length += int64(lines.Len())
	for _, event := range events {
		store.ids[event.ID] = true
	}
	return nil
}

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	var keys [][]byte
	for _, secret := range strings.Fields(string(text)) {
		key, err := keyOf(secret)
		if err != nil {
			log.Fatal(err)
		}
		keys = append(keys, key)
	}
	store, err := openStore(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/", func(answer http.ResponseWriter, request *http.Request) {
		if request.Method != http.MethodPost {
			http.Error(answer, "POST alone", http.StatusMethodNotAllowed)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(answer, request.Body, maxBodyBytes))
		if err != nil {
			http.Error(answer, err.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		if err := verify(keys, request.Header, body, time.Now(), 5*time.Minute); err != nil {
			http.Error(answer, err.Error(), http.StatusUnauthorized)
			return
		}
		found, err := events(request.Header, body)
		if err != nil {
			http.Error(answer, "the body cannot be read: "+err.Error(), http.StatusBadRequest)
			return
		}
		if err := store.add(found); err != nil {
			http.Error(answer, "cannot store: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		answer.WriteHeader(http.StatusNoContent) // only now: webhookd removes them from its queue
	})
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprintf(os.Stderr, "listening on http://%s/\n", listener.Addr())
	log.Fatal(http.Serve(listener, nil))
}

// Writes Bolt files for the tests of the reader, with the library that made the format.
//
//	go run . files DIR              writes the small files that are kept beside this directory, gzipped
//	go run . hold PATH UPDATES      writes that many updates in batches, prints "ready", and keeps the file and its
//	                                lock until standard input ends
//
// The content follows from the number of an update alone (see update), so that the tests can work it out as well.
package main

import (
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// stored has the members that the hub stores, in JSON of the same form.
type stored struct {
	Data    string
	ID      string
	Type    string
	Retry   uint64
	Topics  []string
	Private bool
	Debug   bool
}

// update is the n-th update: every 3rd private, every 5th with a type, every 7th with a retry, every 11th with a
// second topic.
func update(n uint64, dataBytes int) stored {
	u := stored{
		Data:   strings.Repeat("d", dataBytes),
		ID:     fmt.Sprintf("urn:x:%d", n),
		Topics: []string{fmt.Sprintf("https://example.com/%d", n)},
	}
	u.Private = n%3 == 0
	if n%5 == 0 {
		u.Type = "fifth"
	}
	if n%7 == 0 {
		u.Retry = n
	}
	if n%11 == 0 {
		u.Topics = append(u.Topics, "https://example.com/eleventh")
	}
	return u
}

func put(b *bolt.Bucket, u stored) error {
	sequence, err := b.NextSequence()
	if err != nil {
		return err
	}
	value, err := json.Marshal(u)
	if err != nil {
		return err
	}
	key := append(binary.BigEndian.AppendUint64(nil, sequence), u.ID...)
	return b.Put(key, value)
}

// fill puts the updates from first to last into a bucket, in transactions of batch.
func fill(db *bolt.DB, bucket string, first, last uint64, batch uint64, dataBytes func(uint64) int) error {
	for n := first; n <= last; {
		err := db.Update(func(tx *bolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte(bucket))
			if err != nil {
				return err
			}
			for end := min(n+batch, last+1); n < end; n++ {
				if err := put(b, update(n, dataBytes(n))); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func flat(bytes int) func(uint64) int { return func(uint64) int { return bytes } }

type file struct {
	name    string
	options bolt.Options
	write   func(db *bolt.DB) error
}

var files = []file{
	// One bucket, small enough to lie in the value of its entry.
	{"inline", bolt.Options{PageSize: 4096}, func(db *bolt.DB) error {
		return fill(db, "updates", 1, 3, 10, flat(10))
	}},
	// No bucket at all.
	{"no-bucket", bolt.Options{PageSize: 4096}, func(*bolt.DB) error { return nil }},
	// Small pages make a deep tree; the free list is not kept.
	{"deep", bolt.Options{PageSize: 1024, NoFreelistSync: true}, func(db *bolt.DB) error {
		return fill(db, "updates", 1, 5000, 500, flat(20))
	}},
	// Values over many pages among short ones.
	{"overflow", bolt.Options{PageSize: 4096}, func(db *bolt.DB) error {
		return fill(db, "updates", 1, 40, 7, func(n uint64) int {
			switch {
			case n == 20:
				return 1 << 20
			case n%4 == 0:
				return int(n) * 3000
			default:
				return int(n % 3)
			}
		})
	}},
	{"pages-16k", bolt.Options{PageSize: 16 << 10}, func(db *bolt.DB) error {
		return fill(db, "updates", 1, 1000, 100, flat(100))
	}},
	{"pages-64k", bolt.Options{PageSize: 64 << 10}, func(db *bolt.DB) error {
		return fill(db, "updates", 1, 2000, 100, flat(100))
	}},
	// Several buckets: one with updates and a bucket among them, one that was emptied, one that never held anything,
	// and a bucket in a bucket; and a name that is not UTF-8.
	{"buckets", bolt.Options{PageSize: 4096}, func(db *bolt.DB) error {
		if err := fill(db, "history", 1, 300, 50, flat(30)); err != nil {
			return err
		}
		if err := fill(db, "emptied", 1, 300, 50, flat(30)); err != nil {
			return err
		}
		return db.Update(func(tx *bolt.Tx) error {
			// Sorts between the updates 100 and 101.
			between := append(binary.BigEndian.AppendUint64(nil, 100), 0xff)
			nested, err := tx.Bucket([]byte("history")).CreateBucket(between)
			if err != nil {
				return err
			}
			if err := put(nested, update(1, 10)); err != nil {
				return err
			}
			if _, err := tx.CreateBucket([]byte("empty")); err != nil {
				return err
			}
			if _, err := tx.CreateBucket([]byte{'x', 0xff}); err != nil {
				return err
			}
			outer, err := tx.CreateBucket([]byte("outer"))
			if err != nil {
				return err
			}
			inner, err := outer.CreateBucket([]byte("updates"))
			if err != nil {
				return err
			}
			if err := put(inner, update(1, 10)); err != nil {
				return err
			}
			emptied := tx.Bucket([]byte("emptied"))
			c := emptied.Cursor()
			for k, _ := c.First(); k != nil; k, _ = c.First() {
				if err := emptied.Delete(k); err != nil {
					return err
				}
			}
			return nil
		})
	}},
	// As after retention: the older half is gone, and what was added since lies on pages that were freed.
	{"churned", bolt.Options{PageSize: 4096}, func(db *bolt.DB) error {
		if err := fill(db, "updates", 1, 1000, 10, flat(200)); err != nil {
			return err
		}
		for n := uint64(1001); n <= 1500; n++ {
			if err := fill(db, "updates", n, n, 1, flat(200)); err != nil {
				return err
			}
			err := db.Update(func(tx *bolt.Tx) error {
				c := tx.Bucket([]byte("updates")).Cursor()
				for range 2 {
					c.First()
					if err := c.Delete(); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	}},
	// Values that are no updates among some that are, and a key that is too short (it sorts last).
	{"bad-values", bolt.Options{PageSize: 4096}, func(db *bolt.DB) error {
		return db.Update(func(tx *bolt.Tx) error {
			b, err := tx.CreateBucket([]byte("updates"))
			if err != nil {
				return err
			}
			values := []string{
				`{"ID":"urn:x:1","Topics":["a"],"Data":"one"}`,
				`{"ID":"urn:x:2","Topics":["a"],"Data":"cut o`,
				`{"ID":"urn:x:3","Topics":["a"],"Data":"three"}`,
				`{"ID":"urn:x:4","Topics":[],"Data":"four"}`,
				`{"ID":"urn:x:other","Topics":["a"],"Data":"five"}`,
				``,
				`{"ID":"urn:x:7","Topics":["a"],"Private":"secret","Data":"seven"}`,
				`{"ID":"urn:x:8","Topics":["a"],"Data":"eight"}`,
			}
			for i, value := range values {
				n := uint64(i + 1)
				key := fmt.Appendf(binary.BigEndian.AppendUint64(nil, n), "urn:x:%d", n)
				if err := b.Put(key, []byte(value)); err != nil {
					return err
				}
			}
			return b.Put([]byte{0xff, 1, 2}, []byte(`{}`))
		})
	}},
	// Ids with a time here and there: 4 and 6 of 8.
	{"times", bolt.Options{PageSize: 4096}, func(db *bolt.DB) error {
		return db.Update(func(tx *bolt.Tx) error {
			b, err := tx.CreateBucket([]byte("updates"))
			if err != nil {
				return err
			}
			for n := uint64(1); n <= 8; n++ {
				u := update(n, 1)
				switch n {
				case 4:
					u.ID = "urn:uuid:01a20a7b-4853-7bf5-b1cd-5d9593a843c8"
				case 6:
					u.ID = "01a20a7b-4862-7bf5-952c-c553a5a4e6af"
				}
				if err := put(b, u); err != nil {
					return err
				}
			}
			return nil
		})
	}},
}

func writeFiles(dir string) error {
	scratch, err := os.MkdirTemp("", "bolt-testdata")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	for _, f := range files {
		path := filepath.Join(scratch, f.name+".db")
		db, err := bolt.Open(path, 0o600, &f.options)
		if err != nil {
			return err
		}
		if err := f.write(db); err != nil {
			return err
		}
		if err := db.Close(); err != nil {
			return err
		}
		if err := compress(path, filepath.Join(dir, f.name+".db.gz")); err != nil {
			return err
		}
	}
	return nil
}

func compress(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	w, err := gzip.NewWriterLevel(out, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(content); err != nil {
		return err
	}
	return w.Close()
}

func hold(path string, updates uint64) error {
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		return err
	}
	if err := fill(db, "updates", 1, updates, 1000, flat(100)); err != nil {
		return err
	}
	fmt.Println("ready")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return db.Close()
}

func main() {
	log.SetFlags(0)
	var err error
	switch {
	case len(os.Args) == 3 && os.Args[1] == "files":
		err = writeFiles(os.Args[2])
	case len(os.Args) == 4 && os.Args[1] == "hold":
		var updates uint64
		if updates, err = strconv.ParseUint(os.Args[3], 10, 64); err == nil {
			err = hold(os.Args[2], updates)
		}
	default:
		log.Fatal("usage: files DIR | hold PATH UPDATES")
	}
	if err != nil {
		log.Fatal(err)
	}
}

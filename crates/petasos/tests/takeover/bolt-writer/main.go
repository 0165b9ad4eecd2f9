// Stands in for a reference hub that has not ended yet: writes updates into a Bolt file as it does and keeps the lock.
//
//	bolt-writer PATH UPDATES
//
// It prints "ready" when the updates are written. Each line of its standard input is a number of further updates,
// answered with "written". When the input ends, it closes the file, which lets go of the lock.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strconv"

	bolt "go.etcd.io/bbolt"
)

// batch is how many updates share a transaction.
const batch = 1000

// stored has the members that the hub stores.
type stored struct {
	Data    string
	ID      string
	Type    string
	Retry   uint64
	Topics  []string
	Private bool
	Debug   bool
}

// update is the n-th update. The test works its content out from n as well.
func update(n uint64) stored {
	return stored{
		ID:      fmt.Sprintf("urn:old:%d", n),
		Topics:  []string{fmt.Sprintf("https://example.com/%d", n), "https://example.com/old"},
		Data:    fmt.Sprintf("<%d>\nof the old hub", n),
		Private: n%3 == 0,
	}
}

func put(db *bolt.DB, first, count uint64) error {
	for n := first; n < first+count; {
		err := db.Update(func(tx *bolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte("updates"))
			if err != nil {
				return err
			}
			end := n + batch
			if end > first+count {
				end = first + count
			}
			for ; n < end; n++ {
				sequence, err := b.NextSequence()
				if err != nil {
					return err
				}
				u := update(n)
				value, err := json.Marshal(u)
				if err != nil {
					return err
				}
				key := make([]byte, 8, 8+len(u.ID))
				binary.BigEndian.PutUint64(key, sequence)
				key = append(key, u.ID...)
				if err := b.Put(key, value); err != nil {
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

func run(path, updates string) error {
	written, err := strconv.ParseUint(updates, 10, 64)
	if err != nil {
		return err
	}
	// Nobody cuts the power here, and the first writes take long enough.
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoSync: true})
	if err != nil {
		return err
	}
	if err := put(db, 0, written); err != nil {
		return err
	}
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		more, err := strconv.ParseUint(lines.Text(), 10, 64)
		if err != nil {
			return err
		}
		if err := put(db, written, more); err != nil {
			return err
		}
		written += more
		fmt.Println("written")
	}
	if err := db.Sync(); err != nil {
		return err
	}
	return db.Close()
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: bolt-writer PATH UPDATES")
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

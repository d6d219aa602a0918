package orders

import (
	"context"
	"errors"
	"sync"
)

// ErrNotFound says that no order has the id asked for.
var ErrNotFound = errors.New("no such order")

// Store keeps orders. It is safe for concurrent use.
type Store interface {
	// Add keeps an order.
	Add(ctx context.Context, order Order) error
	// Get gives one order, or ErrNotFound.
	Get(ctx context.Context, id string) (Order, error)
	// Latest gives at most n orders, the newest first.
	Latest(ctx context.Context, n int) ([]Order, error)
}

// Memory keeps the newest orders in this process. It is lost on a restart and not shared
// between pods: a real shop puts a database behind Store.
type Memory struct {
	mu    sync.RWMutex
	byID  map[string]Order
	ring  []string // ids, the oldest at next once the ring is full
	next  int
	limit int
}

// NewMemory makes a store that forgets the oldest order when it holds more than limit.
func NewMemory(limit int) *Memory {
	return &Memory{byID: make(map[string]Order), limit: limit}
}

// Add implements Store.
func (m *Memory) Add(_ context.Context, order Order) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.byID[order.ID] = order
	if len(m.ring) < m.limit {
		m.ring = append(m.ring, order.ID)
		return nil
	}
	delete(m.byID, m.ring[m.next])
	m.ring[m.next] = order.ID
	m.next = (m.next + 1) % m.limit
	return nil
}

// Get implements Store.
func (m *Memory) Get(_ context.Context, id string) (Order, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	order, ok := m.byID[id]
	if !ok {
		return Order{}, ErrNotFound
	}
	return order, nil
}

// Latest implements Store.
func (m *Memory) Latest(_ context.Context, n int) ([]Order, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	held := len(m.ring)
	latest := make([]Order, 0, min(n, held))
	for back := 1; back <= min(n, held); back++ {
		latest = append(latest, m.byID[m.ring[(m.next-back+held)%held]])
	}
	return latest, nil
}

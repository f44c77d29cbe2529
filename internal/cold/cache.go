package cold

import (
	"container/list"
	"sync"

	"kalamdb/internal/cold/internal/parquet"
)

// pageKey names a decoded page.
type pageKey struct {
	file uint64
	page parquet.PageID
}

// pageCache holds decoded pages, the least recently used going first.
type pageCache struct {
	most int64 // bytes
	mu   struct {
		sync.Mutex
		bytes int64
		pages map[pageKey]*list.Element
		order *list.List // of *cachedPage, most recently used first
	}
}

type cachedPage struct {
	key  pageKey
	page parquet.Page
}

func newPageCache(most int64) *pageCache {
	c := &pageCache{most: most}
	c.mu.pages = map[pageKey]*list.Element{}
	c.mu.order = list.New()
	return c
}

// get returns a page that is held.
func (c *pageCache) get(key pageKey) (parquet.Page, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.mu.pages[key]
	if !ok {
		return parquet.Page{}, false
	}
	c.mu.order.MoveToFront(e)
	return e.Value.(*cachedPage).page, true
}

// put holds a page, unless it alone would take a quarter of the cache.
func (c *pageCache) put(key pageKey, page parquet.Page) {
	if int64(page.Bytes) > c.most/4 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.mu.pages[key]; ok {
		return
	}
	c.mu.pages[key] = c.mu.order.PushFront(&cachedPage{key, page})
	c.mu.bytes += int64(page.Bytes)
	for c.mu.bytes > c.most {
		c.remove(c.mu.order.Back())
	}
}

// remove is called with the lock held.
func (c *pageCache) remove(e *list.Element) {
	held := c.mu.order.Remove(e).(*cachedPage)
	c.mu.bytes -= int64(held.page.Bytes)
	delete(c.mu.pages, held.key)
}

// forget drops the pages of a file.
func (c *pageCache) forget(file uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.mu.order.Front(); e != nil; {
		next := e.Next()
		if e.Value.(*cachedPage).key.file == file {
			c.remove(e)
		}
		e = next
	}
}

// size returns how many bytes are held.
func (c *pageCache) size() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.bytes
}

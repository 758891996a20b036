// A name for readers of screens; the theme gives its search dialog none.
document$.subscribe(() => {
  document.querySelector("[data-md-component=search]")?.setAttribute("aria-label", "Search")
})

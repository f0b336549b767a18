(function () {
  "use strict";
  var contents = document.getElementById("contents"), menu = document.getElementById("menu");
  var codes = document.getElementById("codes");
  function setMenu(open) { contents.classList.toggle("open", open); menu.setAttribute("aria-expanded", String(open)); }
  menu.addEventListener("click", function () { setMenu(!contents.classList.contains("open")); });
  document.getElementById("entries").addEventListener("click", function (event) {
    if (event.target.closest("a")) setMenu(false);
  });
  codes.addEventListener("click", function () {
    var open = codes.getAttribute("aria-pressed") !== "true";
    document.querySelectorAll("details.code").forEach(function (cell) { cell.open = open; });
    codes.setAttribute("aria-pressed", String(open));
    codes.textContent = open ? "Hide code" : "Show code";
  });
  function openFold() {
    var target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    var fold = target && target.closest("details");
    if (fold) { fold.open = true; target.scrollIntoView(); }
  }
  window.addEventListener("hashchange", openFold);
  openFold();
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details.fold").forEach(function (fold) { fold.open = true; });
  });
  if (!("IntersectionObserver" in window)) return;
  var observer = new IntersectionObserver(function (seen) {
    seen.forEach(function (one) {
      if (!one.isIntersecting) return;
      contents.querySelectorAll("li.here").forEach(function (entry) { entry.classList.remove("here"); });
      var link = contents.querySelector('#entries > li > a[href="#' + one.target.id + '"]');
      if (link) { link.parentElement.classList.add("here"); }
    });
  }, { rootMargin: "-10% 0px -80% 0px" });
  document.querySelectorAll("section.chapter").forEach(function (section) { observer.observe(section); });
})();

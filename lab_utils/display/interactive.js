// One interactive map: points of LAB.images[spec.table], switches for map and colour, a picture on hover.
(function (spec) {
  const box = document.getElementById(spec.id), table = ((window.LAB || {}).images || {})[spec.table];
  const plot = box.querySelector(".lab-plot"), tip = box.querySelector(".lab-tip");
  if (!table || !window.Plotly) {
    plot.textContent = "This map needs what the cell's first output loads: run the whole cell again, or trust this " +
      "notebook (File, Trust Notebook).";
    return;
  }
  const [maps, colours] = box.querySelectorAll("select");
  const say = (name, place) => table.names[name][table.columns[name][place]];

  function traces() {
    const points = spec.maps[maps.value].points, groups = new Map();
    spec.places.forEach((place, row) => {
      const name = say(colours.value, place);
      if (!groups.has(name)) groups.set(name, []);
      groups.get(name).push(row);
    });
    return [...groups.keys()].sort().map((name) => {
      const rows = groups.get(name);
      return {
        type: "scatter3d", mode: "markers", name: name, hoverinfo: "none",
        x: rows.map((row) => points[3 * row]), y: rows.map((row) => points[3 * row + 1]),
        z: rows.map((row) => points[3 * row + 2]), customdata: rows.map((row) => spec.places[row]),
        marker: { size: 3.2, opacity: 0.85, color: table.colours[colours.value][name] },
      };
    });
  }
  function draw() {
    const axis = (title) => ({ title: { text: title }, showticklabels: false, showspikes: false });
    const names = spec.maps[maps.value].axes;
    const layout = {
      height: 500, margin: { l: 0, r: 0, t: 28, b: 0 }, uirevision: "kept", hovermode: "closest",
      legend: { itemsizing: "constant", font: { size: 10 } },
      scene: { aspectmode: "data", xaxis: axis(names[0]), yaxis: axis(names[1]), zaxis: axis(names[2]) },
    };
    return window.Plotly.react(plot, traces(), layout, { displaylogo: false, responsive: true });
  }
  function show(place) {
    const [left, top] = [(place % table.across) * table.side, Math.floor(place / table.across) * table.side];
    const picture = document.createElement("div"), words = document.createElement("div");
    picture.className = "lab-thumb";
    picture.style.cssText = `width:${table.side}px;height:${table.side}px;transform:scale(2);transform-origin:0 0;` +
      `background:url(${table.sprite}) -${left}px -${top}px`;
    const frame = document.createElement("div");
    frame.style.cssText = `width:${2 * table.side}px;height:${2 * table.side}px;flex:none`;
    frame.append(picture);
    const lines = [table.files[place], ...Object.keys(table.columns).map((name) => say(name, place))];
    for (const line of lines.filter(Boolean)) {
      const row = document.createElement("div");
      row.textContent = line;
      words.append(row);
    }
    tip.replaceChildren(frame, words);
    tip.style.display = "flex";
  }
  box.addEventListener("mousemove", (event) => {
    const edge = box.getBoundingClientRect(), x = event.clientX - edge.left, y = event.clientY - edge.top;
    tip.style.left = `${Math.min(x + 14, edge.width - 230)}px`;
    tip.style.top = `${Math.max(0, y - 80)}px`;
  });
  draw().then(() => {
    plot.on("plotly_hover", (event) => show(event.points[0].customdata));
    plot.on("plotly_unhover", () => { tip.style.display = "none"; });
    box.dataset.ready = "yes";
  });
  for (const choice of [maps, colours]) choice.addEventListener("change", draw);
})(SPEC);

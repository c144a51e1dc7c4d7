// In a live notebook: the page in a frame, whose step and selection are shared with Python.

/** @param {{model: any, el: HTMLElement}} place */
function render({ model, el }) {
  const frame = document.createElement("iframe");
  frame.setAttribute("sandbox", "allow-scripts"); // without access to the notebook around it
  frame.style.cssText = "width:100%;height:560px;border:1px solid #d0d7de";
  frame.srcdoc = model.get("html");
  const told = (/** @type {MessageEvent} */ { source, data }) => {
    if (source !== frame.contentWindow || !data?.tarograd) return;
    model.set("step", data.tarograd.step);
    model.set("selected", data.tarograd.selected);
    model.save_changes();
  };
  const tell = () => frame.contentWindow?.postMessage({ tarograd: { step: model.get("step") } }, "*");
  window.addEventListener("message", told);
  model.on("change:step", tell);
  el.append(frame);
  return () => {
    window.removeEventListener("message", told);
    model.off("change:step", tell);
  };
}

export default { render };

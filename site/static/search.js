// What a search finds is quoted from the article, not from the buttons around it.
if (typeof Search !== "undefined") {
  const toText = Search.htmlToText;
  Search.htmlToText = (html, anchor) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    const article = page.querySelector("article.bd-article");
    return toText(article ? `<div role="main">${article.innerHTML}</div>` : html, anchor);
  };
}

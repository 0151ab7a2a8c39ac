"""Real documents of each format, made by the libraries that make them elsewhere."""

import io
import zipfile

import docx
from PIL import Image
from reportlab.lib.pagesizes import A4
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate

SENTENCE = "The queen of the bees lays two thousand eggs a day, and no other bee of the hive lays any. "


def pdf(password=None):
    """Two pages with headings, long paragraphs and a footer."""
    styles, file = getSampleStyleSheet(), io.BytesIO()

    def footer(canvas, document):
        canvas.drawString(50, 20, f"The hive, page {document.page}")

    story = [
        Paragraph("Bees", styles["Heading1"]),
        Paragraph(SENTENCE * 4, styles["BodyText"]),
        Paragraph("A second paragraph of the first page.", styles["BodyText"]),
        PageBreak(),
        Paragraph("Their enemies", styles["Heading2"]),
        Paragraph("Hornets wait before the hive.", styles["BodyText"]),
        PageBreak(),
        Paragraph("Wax moths eat the combs.", styles["BodyText"]),
    ]
    encrypt = StandardEncryption(password) if password else None
    SimpleDocTemplate(file, pagesize=A4, title="The hive", encrypt=encrypt).build(story, footer, footer)
    return file.getvalue()


def scanned_pdf():
    file = io.BytesIO()
    canvas = Canvas(file)
    canvas.drawImage(ImageReader(Image.new("RGB", (60, 80), "white")), 0, 0)
    canvas.save()
    return file.getvalue()


def word():
    document, file = docx.Document(), io.BytesIO()
    document.core_properties.title = "The hive"
    document.add_heading("Bees", 1)
    document.add_paragraph(SENTENCE.strip())
    document.add_heading("Sizes", 2)
    table = document.add_table(2, 2)
    for row, cells in zip(table.rows, [("bee", "length"), ("queen", "2 cm")], strict=True):
        for cell, text in zip(row.cells, cells, strict=True):
            cell.text = text
    document.add_paragraph("wax", style="List Bullet")
    document.add_paragraph("honey", style="List Bullet")
    document.save(file)
    return file.getvalue()


def word_with(part, content):
    """A docx file in which one part has other content."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(word())) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for one in old.infolist():
            new.writestr(one.filename, content if one.filename == part else old.read(one))
    return file.getvalue()


PAGE = """<!DOCTYPE html>
<html><head><title>The hive</title><script>var x = "no text";</script><style>p {}</style></head>
<body><nav><a href="/">Home</a></nav><main>
<h1>Bees<a class="headerlink" href="#bees">¶</a></h1><p>The queen lays <b>eggs</b> &amp; more.
<img src="http://127.0.0.1:{port}/a.png" alt="a bee"></p>
<div class="highlight-python"><pre>for bee in hive:
    bee.fly()
</pre></div>
<table><tr><th>bee</th><th>length</th></tr><tr><td>queen</td><td>2 cm</td></tr></table>
<ul><li>wax</li><li>honey</li></ul><!-- no text --><p hidden>no text</p>
</main><footer>no text</footer></body></html>"""

MARKDOWN = """---
title: "The hive"
---

# Bees

The *queen* lays eggs, see [the book][1].

<!-- no text -->

```python
# not a heading

bee.fly()
```

| bee | length |
| --- | --- |
| queen | 2 cm |

Their enemies
-------------

1. hornets
2. wax moths

[1]: https://example.org
"""

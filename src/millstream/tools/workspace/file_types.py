"""Names of kinds of files and how such files are called: ripgrep's own most used (``rg --type-list``), so that a search
means the same with and without it."""

from __future__ import annotations

TYPES: dict[str, tuple[str, ...]] = {
    "c": ("*.[chH]", "*.[chH].in", "*.cats"),
    "config": ("*.cfg", "*.conf", "*.config", "*.ini"),
    "cpp": ("*.[ChH]", "*.cc", "*.[ch]pp", "*.[ch]xx", "*.hh", "*.inl", "*.cc.in", "*.[ch]pp.in"),
    "cs": ("*.cs", "*.csx"),
    "css": ("*.css", "*.scss"),
    "csv": ("*.csv", "*.tsv"),
    "docker": ("*Dockerfile*", "*.dockerfile"),
    "elixir": ("*.ex", "*.eex", "*.exs", "*.heex", "*.leex"),
    "go": ("*.go", "go.mod"),
    "haskell": ("*.hs", "*.lhs", "*.hsc", "*.cpphs"),
    "html": ("*.htm", "*.html", "*.ejs"),
    "java": ("*.java", "*.jsp", "*.jspx", "*.properties"),
    "js": ("*.js", "*.jsx", "*.vue", "*.cjs", "*.mjs"),
    "json": ("*.json", "composer.lock", "*.sarif"),
    "kotlin": ("*.kt", "*.kts"),
    "lua": ("*.lua", "*.luau"),
    "make": ("[Gg][Nn][Uu]makefile", "[Mm]akefile", "*.mk", "*.mak", "Makefile.*"),
    "md": ("*.markdown", "*.md", "*.mdown", "*.mkdn", "*.mdx"),
    "php": ("*.php", "*.php[3-9]", "*.pht", "*.phtml"),
    "proto": ("*.proto", "*.protobuf"),
    "py": ("*.py", "*.pyi"),
    "ruby": ("*.rb", "*.rbw", "*.gemspec", "Gemfile", "Rakefile", "config.ru"),
    "rust": ("*.rs", "*.ron"),
    "scala": ("*.scala", "*.sbt"),
    "sh": ("*.sh", "*.bash", "*.zsh", "*.ksh", "*.fish", ".bashrc", ".profile", ".zshrc"),
    "sql": ("*.sql", "*.psql"),
    "swift": ("*.swift", "*.swiftinterface"),
    "toml": ("*.toml", "Cargo.lock", "poetry.lock"),
    "ts": ("*.ts", "*.tsx", "*.cts", "*.mts"),
    "txt": ("*.txt", "*.text"),
    "xml": ("*.xml", "*.xsd", "*.xsl", "*.xslt", "*.svg", "*.dtd", "*.rng"),
    "yaml": ("*.yaml", "*.yml"),
}

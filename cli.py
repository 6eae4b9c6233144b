from bolid.cli import main

main()
